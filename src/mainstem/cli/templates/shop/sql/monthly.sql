-- Revenue per month and country.
-- key: month, country
-- owner: data
-- check: between(revenue, 0)
SELECT
    CAST(date_trunc('month', ordered_at) AS DATE) AS month,
    country,
    count(*) AS orders,
    round(sum(amount), 2) AS revenue
FROM purchases
GROUP BY ALL
