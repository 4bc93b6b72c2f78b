-- Configuration tables that refer to each other, with rows that want the users' tables.
CREATE EXTENSION roundtrip_topology CASCADE;
SELECT topology.create_topology('t'), topology.create_topology('a');
CREATE TABLE public.features (id int PRIMARY KEY, shape text);
INSERT INTO public.features VALUES (1, 'round');
INSERT INTO topology.layer VALUES (1, 1, 'public.features', NULL), (2, 1, 'public.features', NULL);
INSERT INTO topology.a_note VALUES (1, 1, 'a note'), (1, 2, 'another');
INSERT INTO t.node DEFAULT VALUES;

--@ changed
INSERT INTO topology.layer VALUES (1, 2, 'public.features', NULL);
INSERT INTO topology.a_note VALUES (2, 1, 'to the newer');
DELETE FROM topology.a_note WHERE word = 'another';
UPDATE topology.topology SET name = 'b' WHERE name = 'a';
