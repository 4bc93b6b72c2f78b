-- Rows that are checked against rows of tables whose names come later: by a domain, in partitions, one after the other.
CREATE TABLE z_known (id int PRIMARY KEY, word text);
ALTER TABLE z_known ALTER word SET STORAGE EXTERNAL;
INSERT INTO z_known SELECT i, repeat('x', 1000000) FROM generate_series(1, 11) i;
CREATE TABLE y_large (id int, word text);
ALTER TABLE y_large ALTER word SET STORAGE EXTERNAL;
INSERT INTO y_large SELECT i, repeat('y', 1000000) FROM generate_series(1, 10) i;
CREATE FUNCTION known(int) RETURNS boolean LANGUAGE plpgsql AS 'BEGIN RETURN EXISTS (SELECT FROM public.z_known WHERE id = $1); END';
CREATE DOMAIN known_id AS int CHECK (known(VALUE));
CREATE TABLE m_domain (id int, ref known_id);
INSERT INTO m_domain SELECT i, i FROM generate_series(1, 11) i;
CREATE FUNCTION in_domain(int) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM public.m_domain WHERE id = $1) THEN
        RAISE EXCEPTION 'no %', $1;
    END IF;
    RETURN true;
END
$$;
CREATE TABLE n_parts (id int, ref int CHECK (in_domain(ref))) PARTITION BY RANGE (id);
CREATE TABLE o_part PARTITION OF n_parts FOR VALUES FROM (1) TO (6);
CREATE TABLE p_part PARTITION OF n_parts FOR VALUES FROM (6) TO (20);
INSERT INTO n_parts SELECT i, i FROM generate_series(1, 11) i;
CREATE TABLE a_plain (id int PRIMARY KEY);
INSERT INTO a_plain VALUES (1), (2);
CREATE INDEX ON o_part (ref);

--@ changed
DELETE FROM n_parts WHERE id > 3;
DELETE FROM m_domain WHERE id > 5;
