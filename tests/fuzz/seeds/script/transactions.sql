BEGIN;
SET client_encoding = 'UTF8';
COPY public.t (a, b) FROM stdin WITH (FORMAT text);
1	\N
ROLLBACK	x
\.
CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; END;
INSERT INTO t VALUES (E'\'', $tag$;$tag$, "commit", /* /* */ */ U&'x') -- end
;
COMMIT AND CHAIN;
