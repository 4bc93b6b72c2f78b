CREATE TABLE reference_systems (id int PRIMARY KEY, word text);
INSERT INTO reference_systems SELECT i, 'system ' || i FROM generate_series(1, 20) i;
GRANT SELECT ON reference_systems TO PUBLIC;
SELECT pg_extension_config_dump('reference_systems', 'WHERE id > 1000');
CREATE FUNCTION reference_system(int) RETURNS text LANGUAGE sql STABLE AS 'SELECT word FROM reference_systems WHERE id = $1';
