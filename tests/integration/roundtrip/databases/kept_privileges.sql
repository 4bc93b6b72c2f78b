-- What stays where it is in place, schemas and members of extensions, has the backup's privileges and comments again.
CREATE SCHEMA app;
CREATE SCHEMA plain;
CREATE EXTENSION hstore;
GRANT USAGE ON SCHEMA app TO reader;
COMMENT ON SCHEMA app IS 'of the backup';
REVOKE EXECUTE ON FUNCTION hstore_to_json(hstore) FROM PUBLIC;
CREATE TABLE app.t (a int);
SELECT lo_from_bytea(4711, 'a');

--@ changed
GRANT ALL ON SCHEMA app, plain, public TO PUBLIC;
REVOKE USAGE ON SCHEMA app FROM reader;
ALTER SCHEMA plain OWNER TO writer;
COMMENT ON SCHEMA app IS 'changed';
COMMENT ON SCHEMA plain IS 'new';
COMMENT ON EXTENSION hstore IS 'changed';
GRANT EXECUTE ON FUNCTION hstore_to_json(hstore) TO PUBLIC;
