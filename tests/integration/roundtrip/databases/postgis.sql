-- PostGIS, with a reference system of our own that a generated column needs.
CREATE EXTENSION postgis;
INSERT INTO spatial_ref_sys (srid, auth_name, auth_srid, proj4text, srtext)
  VALUES (990001, 'ours', 990001, '+proj=tmerc +lat_0=0 +lon_0=9 +k=1 +x_0=0 +y_0=0 +ellps=GRS80 +units=m +no_defs', '');
CREATE TABLE places (
    id int PRIMARY KEY, place geometry(Point, 4326), far geography(Point, 4326),
    here geometry(Point, 990001) GENERATED ALWAYS AS (ST_Transform(place, 990001)) STORED
);
INSERT INTO places SELECT i, ST_SetSRID(ST_MakePoint(9 + i / 100.0, 48), 4326), ST_MakePoint(i, i) FROM generate_series(1, 50) i;
CREATE INDEX ON places USING gist (place);
CREATE INDEX ON places USING gist (far);
CREATE VIEW near AS SELECT id FROM places WHERE ST_DWithin(place, ST_SetSRID(ST_MakePoint(9, 48), 4326), 0.1);

--@ changed
DELETE FROM places;
UPDATE spatial_ref_sys SET proj4text = replace(proj4text, 'lon_0=9', 'lon_0=10') WHERE srid = 990001;
