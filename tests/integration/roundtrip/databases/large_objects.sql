-- Large objects: empty, with holes, of a megabyte, many, of others, with privileges and comments.
SELECT lo_from_bytea(4000 + i, decode(md5(i::text), 'hex')) FROM generate_series(1, 300) i;
SELECT lo_create(5000), lo_create(5001);
SELECT lo_put(5001, 100000, 'behind a hole');
SELECT lo_from_bytea(5002, decode(repeat('00ff5c0a', 250000), 'hex'));
SELECT lo_from_bytea(5003, 'COMMIT;');
ALTER LARGE OBJECT 4001 OWNER TO app;
ALTER LARGE OBJECT 5002 OWNER TO writer;
GRANT SELECT ON LARGE OBJECT 4002, 4003 TO reader;
GRANT ALL ON LARGE OBJECT 5002 TO reader WITH GRANT OPTION;
REVOKE UPDATE ON LARGE OBJECT 4004 FROM postgres;
COMMENT ON LARGE OBJECT 4005 IS 'one of many';
CREATE TABLE refers (picture oid);
INSERT INTO refers VALUES (5002);

--@ changed
SELECT lo_put(5002, 0, 'changed'), lo_unlink(4001), lo_unlink(5001), lo_from_bytea(6000, 'new'), lo_create(5001);
ALTER LARGE OBJECT 4002 OWNER TO writer;
GRANT SELECT ON LARGE OBJECT 4006 TO PUBLIC;
COMMENT ON LARGE OBJECT 4005 IS NULL;

--@ stays
SELECT lo_unlink(6000);
