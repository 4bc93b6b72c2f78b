-- A privilege on a function of an extension that has other arguments in the target's version.
CREATE EXTENSION roundtrip_signatures VERSION '1.0';
CREATE TABLE t (a int);
REVOKE EXECUTE ON FUNCTION reset_all() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION reset_all() TO reader;
GRANT SELECT ON t TO reader;

--@ lacking
ALTER EXTENSION roundtrip_signatures UPDATE TO '1.1';
