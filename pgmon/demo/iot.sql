-- Devices in the field and what they send: small, with something of everything that pgmon looks at.
CREATE EXTENSION pg_stat_statements;

CREATE TABLE devices (
    device_id integer PRIMARY KEY,
    site      text NOT NULL,
    firmware  text NOT NULL,
    seen_at   timestamptz
);
INSERT INTO devices SELECT n, 'site ' || n % 20, '1.' || n % 7 FROM generate_series(1, 500) AS n;
UPDATE devices SET seen_at = now();  -- something to do for autovacuum at once
CREATE INDEX devices_firmware ON devices (firmware);  -- nobody reads it

CREATE TABLE readings (
    device_id integer NOT NULL,
    at        timestamptz NOT NULL DEFAULT now(),
    celsius   real
) PARTITION BY RANGE (at);
DO $$ DECLARE day date; BEGIN FOR day IN SELECT current_date + n FROM generate_series(-3, 3) AS n LOOP
    EXECUTE format('CREATE TABLE %I PARTITION OF readings FOR VALUES FROM (%L) TO (%L)',
                   to_char(day, '"readings_"YYYYMMDD'), day, day + 1);
END LOOP; END $$;
INSERT INTO readings SELECT n % 500 + 1, current_date - n * interval '8 s', 20 FROM generate_series(1, 30000) AS n;
CREATE INDEX readings_device_id_at ON readings (device_id, at);

CREATE TABLE events (
    event_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    device_id integer NOT NULL REFERENCES devices,
    at        timestamptz NOT NULL DEFAULT now(),
    message   text NOT NULL
);
INSERT INTO events (device_id, at, message)
SELECT n % 500 + 1, now() - n * interval '1 min', 'battery low' FROM generate_series(1, 2000) AS n;

CREATE TABLE reports (
    report_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    device_id integer NOT NULL REFERENCES devices,
    body      text NOT NULL
);
ALTER TABLE reports ALTER COLUMN body SET STORAGE EXTERNAL;  -- 6 kB, so they are in the TOAST table
INSERT INTO reports (device_id, body)
SELECT n, repeat(md5(n::text), 200) FROM generate_series(1, 500) AS n;

CREATE MATERIALIZED VIEW site_temperatures AS
SELECT d.site, date_trunc('hour', r.at) AS hour, avg(r.celsius) AS celsius
  FROM readings AS r
  JOIN devices AS d USING (device_id)
 GROUP BY 1, 2;
ALTER MATERIALIZED VIEW site_temperatures OWNER TO app;  -- who refreshes it

SELECT pg_create_physical_replication_slot('mirror', true);
