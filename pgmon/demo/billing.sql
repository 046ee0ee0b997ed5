-- What the customers owe: the second database, for pgmon reads them all.
CREATE TABLE customers (
    customer_id integer PRIMARY KEY,
    name        text NOT NULL,
    devices     integer NOT NULL
);
INSERT INTO customers SELECT n, 'customer ' || n, n % 9 FROM generate_series(1, 200) AS n;

CREATE TABLE invoices (
    invoice_id  integer GENERATED ALWAYS AS IDENTITY (START 1300000000) PRIMARY KEY,  -- more than half used
    customer_id integer NOT NULL REFERENCES customers,
    issued_at   timestamptz NOT NULL DEFAULT now(),
    paid_at     timestamptz,
    cents       integer NOT NULL
);
INSERT INTO invoices (customer_id, issued_at, cents)
SELECT n % 200 + 1, now() - n * interval '1 h', 990 FROM generate_series(1, 5000) AS n;
CREATE INDEX invoices_issued_at ON invoices (issued_at);

CREATE TABLE usage (
    customer_id integer NOT NULL,
    at          timestamptz NOT NULL DEFAULT now(),
    messages    integer NOT NULL
) PARTITION BY HASH (customer_id);
DO $$ BEGIN FOR n IN 0..3 LOOP
    EXECUTE format('CREATE TABLE %I PARTITION OF usage FOR VALUES WITH (MODULUS 4, REMAINDER %s)', 'usage_' || n, n);
END LOOP; END $$;
INSERT INTO usage SELECT n % 200 + 1, now() - n * interval '1 min', n % 50 FROM generate_series(1, 5000) AS n;
