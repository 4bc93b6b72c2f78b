-- No encoding at all, and names of bytes that are no UTF-8.
CREATE FUNCTION raw(bytea) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT convert_from($1, 'SQL_ASCII') $$;
SELECT format('CREATE TABLE %I (%1$I text)', raw('\x6772f6df65')), format('INSERT INTO %I VALUES (%1$L)', raw('\x6772f6df65')),
       format('GRANT SELECT ON %I TO reader', raw('\x6772f6df65')) \gexec

--@ changed
SELECT format('DELETE FROM %I', raw('\x6772f6df65')) \gexec
