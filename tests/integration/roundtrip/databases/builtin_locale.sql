-- A database whose collation is PostgreSQL's own.
CREATE TABLE t (word text PRIMARY KEY);
INSERT INTO t VALUES ('ä'), ('z'), ('a');
CREATE INDEX upper ON t (upper(word));

--@ changed
DELETE FROM t;
