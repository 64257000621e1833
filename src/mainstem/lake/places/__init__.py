"""Where the files of a lake are: below a directory, or at an object store. One module for each."""
