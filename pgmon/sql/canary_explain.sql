-- A plan, made and run, over a small table of the catalogue, or that of canary_table: always the same work.
EXPLAIN /* pgmon:canary_explain */ (ANALYZE, BUFFERS)
SELECT count(*)
  FROM :"canary_schema".:"canary_table" AS t
