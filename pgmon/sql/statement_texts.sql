-- The texts of a few statements; they lie in a file that is read whole, so nobody asks for one twice.
SELECT /* pgmon:statement_texts */
       DISTINCT ON (s.queryid)
       s.queryid::text AS queryid,
       coalesce(pg_catalog."left"(s.query, 10000), '') AS query
  FROM :"pgss".pg_stat_statements(true) AS s
 WHERE s.queryid = ANY (:queryids)
 ORDER BY s.queryid, s.calls DESC
