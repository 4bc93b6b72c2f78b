CREATE TABLE topology.topology (id serial PRIMARY KEY, name text UNIQUE NOT NULL);
CREATE TABLE topology.layer (
    topology_id int NOT NULL REFERENCES topology.topology, layer_id int NOT NULL, feature text,
    child_id int, PRIMARY KEY (topology_id, layer_id)
);
-- Its name sorts before that of the table that it refers to.
CREATE TABLE topology.a_note (layer_id int, topology_id int, FOREIGN KEY (topology_id, layer_id) REFERENCES topology.layer, word text);
SELECT pg_extension_config_dump('topology.topology', '');
SELECT pg_extension_config_dump('topology.topology_id_seq', '');
SELECT pg_extension_config_dump('topology.layer', '');
SELECT pg_extension_config_dump('topology.a_note', '');
CREATE FUNCTION topology.create_topology(text) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
    made int;
BEGIN
    EXECUTE format('CREATE SCHEMA %I', $1);
    EXECUTE format('CREATE TABLE %I.node (id serial PRIMARY KEY)', $1);
    INSERT INTO topology.topology (name) VALUES ($1) RETURNING id INTO made;
    RETURN made;
END
$$;
-- A row of layer must have its table, as PostGIS's own trigger wants it.
CREATE FUNCTION topology.layer_trigger() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF to_regclass(NEW.feature) IS NULL THEN
        RAISE EXCEPTION 'no table %', NEW.feature;
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER layer_trigger BEFORE INSERT OR UPDATE ON topology.layer FOR EACH ROW EXECUTE FUNCTION topology.layer_trigger();
