-- A language that is no extension's: its handler is a function like others.
CREATE SCHEMA app;
CREATE FUNCTION app.own_handler() RETURNS language_handler LANGUAGE c AS '$libdir/plpgsql', 'plpgsql_call_handler';
CREATE FUNCTION app.own_inline(internal) RETURNS void LANGUAGE c STRICT AS '$libdir/plpgsql', 'plpgsql_inline_handler';
CREATE FUNCTION app.own_validator(oid) RETURNS void LANGUAGE c STRICT AS '$libdir/plpgsql', 'plpgsql_validator';
CREATE TRUSTED LANGUAGE own HANDLER app.own_handler INLINE app.own_inline VALIDATOR app.own_validator;
CREATE FUNCTION app.in_own() RETURNS int LANGUAGE own AS 'BEGIN RETURN 1; END';
ALTER LANGUAGE own OWNER TO app;
REVOKE USAGE ON LANGUAGE own FROM PUBLIC;
GRANT USAGE ON LANGUAGE own TO reader;
COMMENT ON LANGUAGE own IS 'our own';

--@ changed
CREATE OR REPLACE FUNCTION app.in_own() RETURNS int LANGUAGE own AS 'BEGIN RETURN 2; END';
GRANT USAGE ON LANGUAGE own TO PUBLIC;
COMMENT ON LANGUAGE own IS 'changed';
