-- PostGIS's topology: configuration tables that refer to each other, and tables of its own making.
CREATE EXTENSION postgis;
CREATE EXTENSION postgis_topology;
SELECT topology.CreateTopology('t', 4326);
CREATE TABLE features (id int PRIMARY KEY);
SELECT topology.AddTopoGeometryColumn('t', 'public', 'features', 'shape', 'POINT');
INSERT INTO features SELECT 1, topology.toTopoGeom(ST_SetSRID(ST_MakePoint(1, 2), 4326), 't', 1);

--@ prepared
-- The extension itself does this to the database that it is made in.
ALTER DATABASE :"DBNAME" SET search_path = "$user", public, topology;

--@ changed
DELETE FROM features;
SELECT topology.CreateTopology('later', 4326);

--@ stays
-- Its row in the extension's table is one that the backup does not have, and its schema is nobody's but its own.
DROP SCHEMA later CASCADE;
