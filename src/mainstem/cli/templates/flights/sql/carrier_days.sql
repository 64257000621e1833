-- How each airline did on each day (UTC), for a dashboard.
-- key: carrier, day
-- owner: data
-- check: not_null(carrier, airline)
-- check: between(late_share, 0, 1)
SELECT
    carrier,
    airline,
    CAST(date_trunc('day', scheduled_at) AS DATE) AS day,
    count(*) AS flights,
    count(*) - count(departed_at) AS not_departed,
    avg(arr_delay) AS arr_delay,
    avg(CASE WHEN arr_delay > 15 THEN 1.0 WHEN arr_delay IS NOT NULL THEN 0.0 END) AS late_share
FROM legs
GROUP BY carrier, airline, CAST(date_trunc('day', scheduled_at) AS DATE)
