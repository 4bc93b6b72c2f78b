-- Extensions in schemas of their own, their privileges, and what users have made of their types.
CREATE SCHEMA ext;
CREATE SCHEMA "ext 2";
CREATE EXTENSION hstore SCHEMA ext;
CREATE EXTENSION citext SCHEMA "ext 2";
CREATE EXTENSION pgcrypto;
CREATE EXTENSION cube;
CREATE EXTENSION earthdistance CASCADE;
CREATE TABLE t (id int PRIMARY KEY, h ext.hstore DEFAULT 'a=>1', c "ext 2".citext UNIQUE, p cube);
INSERT INTO t SELECT i, ext.hstore('k', i::text), 'Word ' || i, cube(i) FROM generate_series(1, 30) i;
CREATE INDEX ON t USING gist (h);
CREATE INDEX ON t USING gist (p);
CREATE VIEW v AS SELECT id FROM t WHERE c OPERATOR("ext 2".=) 'WORD 7';
REVOKE EXECUTE ON FUNCTION crypt(text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION crypt(text, text) TO reader;
COMMENT ON EXTENSION hstore IS 'of keys and values';

--@ changed
GRANT EXECUTE ON FUNCTION crypt(text, text) TO PUBLIC;
ALTER TABLE t DROP COLUMN h;
DROP EXTENSION earthdistance;
DELETE FROM t;
