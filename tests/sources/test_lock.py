import pytest

from mainstem.errors import SettingsError
from mainstem.sources.lock import read_lock, write_lock


def test_the_lock_is_stable_and_read_back(tmp_path):
    lock = tmp_path / "schemas.lock"
    schemas = {"b": {"z": "int64", "odd name": "string"}, "a": {"at": "timestamp('UTC', 6)"}}
    write_lock(lock, schemas)
    text = lock.read_text()
    assert text.endswith('[a]\nat = "timestamp(\'UTC\', 6)"\n\n[b]\nz = "int64"\n"odd name" = "string"\n')
    assert read_lock(lock) == schemas
    write_lock(lock, dict(reversed(schemas.items())))
    assert lock.read_text() == text
    assert read_lock(tmp_path / "none") == {}


@pytest.mark.parametrize("text", ["[a\n", '[a]\nx = "integr"\n', "[a]\nx = 3\n", "a = 1\n"])
def test_a_broken_lock_is_refused(tmp_path, text):
    (tmp_path / "schemas.lock").write_text(text)
    with pytest.raises(SettingsError):
        read_lock(tmp_path / "schemas.lock")
