-- A script that somebody has written: COPY with options, words of transactions in rows, psql's own habits.
CREATE TABLE t (word text, more text);
INSERT INTO t VALUES ('COMMIT;', 'it''s'), ('ROLLBACK', '$$'), ('one', 'two'), ('begin', '"'), ('END', NULL);
INSERT INTO t VALUES ('COMMIT', 'a;b');
CREATE TABLE c (commit int, begin text);
INSERT INTO c VALUES (1, 'x');

--@ script
BEGIN;
SET search_path = public;
CREATE TABLE t (word text, more text); CREATE TABLE c (commit int,
begin text
);
COPY t FROM stdin WITH (FORMAT text);
COMMIT;	it's
ROLLBACK	$$
\.
-- COMMIT;
COPY public.t (word,
  more)
FROM STDIN (FORMAT csv, NULL 'nothing', HEADER);
word,more
one,two
begin,""""
END,nothing
\.
copy t from stdin with delimiter '|' ;
COMMIT|a;b
\.
/* COPY t FROM stdin;
COMMIT; */
INSERT INTO c (
commit,
begin) VALUES (
1, 'x');
SELECT 'COPY t FROM stdin;' AS "
COMMIT;
";
COMMIT;
