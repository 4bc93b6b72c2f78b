-- A tablespace that the target lacks.
SET allow_in_place_tablespaces = on;
CREATE TABLESPACE lost_tablespace LOCATION '';
CREATE TABLE t (id int PRIMARY KEY USING INDEX TABLESPACE lost_tablespace, word text) TABLESPACE lost_tablespace;
INSERT INTO t VALUES (1, 'one');
CREATE MATERIALIZED VIEW m TABLESPACE lost_tablespace AS SELECT count(*) FROM t;
CREATE INDEX i ON t (word) TABLESPACE lost_tablespace;

--@ lacking
ALTER TABLE t SET TABLESPACE pg_default;
ALTER INDEX t_pkey SET TABLESPACE pg_default;
ALTER INDEX i SET TABLESPACE pg_default;
ALTER MATERIALIZED VIEW m SET TABLESPACE pg_default;
DROP TABLESPACE lost_tablespace;
