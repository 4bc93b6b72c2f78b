CREATE TABLE @extschema@.zones (name text PRIMARY KEY, difference int);
INSERT INTO @extschema@.zones VALUES ('here', 0);
SELECT pg_extension_config_dump('@extschema@.zones', 'WHERE name <> ''here''');
CREATE FUNCTION @extschema@.shifted(int, text) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    found int;
BEGIN
    SELECT difference INTO found FROM @extschema@.zones WHERE name = $2;
    IF found IS NULL THEN
        RAISE EXCEPTION 'no zone %', $2;
    END IF;
    RETURN $1 + found;
END
$$;
