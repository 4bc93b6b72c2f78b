-- The schema public in other hands.
ALTER SCHEMA public OWNER TO app;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO reader WITH GRANT OPTION;
COMMENT ON SCHEMA public IS NULL;
CREATE TABLE public.t (a int);
INSERT INTO public.t VALUES (1);

--@ changed
GRANT ALL ON SCHEMA public TO PUBLIC;
COMMENT ON SCHEMA public IS 'changed';
ALTER SCHEMA public OWNER TO writer;
