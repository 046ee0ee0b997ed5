-- The least that can be asked: how long it takes is how well the server answers anybody.
SELECT /* pgmon:canary_select */
       1 AS one
