-- key: origin
SELECT origin, count(*) AS flights FROM legs GROUP BY origin
