"""The record in months: ``audit_entry`` is partitioned by the time of its entries.

Rows that are there stay where they are: the old table becomes the first partition, from the month of its oldest entry
to the end of this one. Copying them would write each again and need the room twice; attaching reads the table once, for
the bounds, and once for each index. The bounds are not checked beforehand: in one transaction that would be the same
scan under the same lock.
"""

from django.db import migrations, models

_PARTITIONED = """
ALTER TABLE audit_entry RENAME TO audit_entry_before;
ALTER TABLE audit_entry_before DROP CONSTRAINT audit_entry_pkey;
DROP INDEX audit_by_account, audit_by_time;
-- The parent's is made on every partition that is attached, under the same name.
DROP TRIGGER append_only ON audit_entry_before;

-- Not an identity column: partitions of one are PostgreSQL 17's.
CREATE SEQUENCE audit_entry_number;
SELECT setval('audit_entry_number', greatest(last_value, 1), is_called) FROM audit_entry_sequence_seq;
ALTER TABLE audit_entry_before ALTER COLUMN sequence DROP IDENTITY;
ALTER TABLE audit_entry_before ALTER COLUMN sequence SET DEFAULT nextval('audit_entry_number');
ALTER SEQUENCE audit_entry_number RENAME TO audit_entry_sequence_seq;

CREATE TABLE audit_entry (LIKE audit_entry_before INCLUDING DEFAULTS) PARTITION BY RANGE ("time");
ALTER SEQUENCE audit_entry_sequence_seq OWNED BY audit_entry.sequence;
ALTER TABLE audit_entry ADD CONSTRAINT audit_entry_pkey PRIMARY KEY (sequence, "time");
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON audit_entry
    FOR EACH ROW EXECUTE FUNCTION keystead_refuse_change();
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON audit_entry
    FOR EACH STATEMENT EXECUTE FUNCTION keystead_refuse_change();
"""

# What a partition is called, where it begins and ends, and whether it has the indexes to search it by. The one without
# an end is the default.
_LISTED = """
CREATE FUNCTION keystead_record_partitions()
RETURNS TABLE (name text, since timestamptz, until timestamptz, searchable boolean)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' AS $$
    SELECT c.relname::text,
        substring(pg_get_expr(c.relpartbound, c.oid) FROM $re$FROM \\('([^']+)'\\)$re$)::timestamptz,
        substring(pg_get_expr(c.relpartbound, c.oid) FROM $re$TO \\('([^']+)'\\)$re$)::timestamptz,
        EXISTS (SELECT FROM pg_index x JOIN pg_class n ON n.oid = x.indexrelid
            WHERE x.indrelid = c.oid AND x.indisvalid AND n.relname = c.relname || '_by_groups')
    FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = 'public.audit_entry'::regclass ORDER BY 2 NULLS LAST
$$;
"""

# The server's role may make no tables; by these, run as the owner of the record, it may have exactly the next ones.
_PREPARED = """
CREATE FUNCTION keystead_record_month(since timestamptz, until timestamptz) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT 'audit_entry_' || to_char(since AT TIME ZONE 'UTC', 'YYYY_MM')
        || CASE WHEN until AT TIME ZONE 'UTC' > since AT TIME ZONE 'UTC' + interval '1 month'
            THEN '_to_' || to_char(until AT TIME ZONE 'UTC' - interval '1 month', 'YYYY_MM') ELSE '' END
$$;

-- A trigger for statements is not inherited, nor are settings of storage.
CREATE FUNCTION keystead_record_settle(partition text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    EXECUTE format('CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON public.%I '
        'FOR EACH STATEMENT EXECUTE FUNCTION public.keystead_refuse_change()', partition);
    -- Every call appends; what is frozen once is not visited again.
    EXECUTE format('ALTER TABLE public.%I SET (autovacuum_vacuum_insert_scale_factor = 0.05)', partition);
END $$;

-- Made and then attached, as that lets others insert meanwhile.
CREATE FUNCTION keystead_record_add(since timestamptz, until timestamptz) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' AS $$
DECLARE
    made text := public.keystead_record_month(since, until);
BEGIN
    EXECUTE format('CREATE TABLE public.%I (LIKE public.audit_entry INCLUDING DEFAULTS)', made);
    EXECUTE format('ALTER TABLE public.audit_entry ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (%L)',
        made, since, until);
    PERFORM public.keystead_record_settle(made);
    RETURN made;
END $$;

CREATE FUNCTION keystead_prepare_record() RETURNS SETOF text
LANGUAGE plpgsql SECURITY DEFINER
-- Who reads the record for long is not waited for, nor does anybody wait behind us: there are months to try again.
SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET lock_timeout = '1s' AS $$
DECLARE
    lower timestamptz;
    upper timestamptz;
    month timestamptz;
    made text;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('keystead_prepare_record'));
    -- What the net caught becomes a partition as it lies: no entry is moved, as none may be deleted.
    SELECT date_trunc('month', min("time")), date_trunc('month', max("time")) + interval '1 month'
        INTO lower, upper FROM public.audit_entry_other;
    IF lower IS NOT NULL AND NOT EXISTS (
        SELECT 1 FROM public.keystead_record_partitions() p WHERE p.since < upper AND p.until > lower
    ) THEN
        made := public.keystead_record_month(lower, upper);
        ALTER TABLE public.audit_entry DETACH PARTITION public.audit_entry_other;
        EXECUTE format('ALTER TABLE public.audit_entry_other RENAME TO %I', made);
        EXECUTE format('ALTER TABLE public.audit_entry ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (%L)',
            made, lower, upper);
        CREATE TABLE public.audit_entry_other (LIKE public.audit_entry INCLUDING DEFAULTS);
        ALTER TABLE public.audit_entry ATTACH PARTITION public.audit_entry_other DEFAULT;
        PERFORM public.keystead_record_settle('audit_entry_other');
        RETURN NEXT made;
    END IF;
    FOR month IN SELECT date_trunc('month', now()) + n * interval '1 month' FROM generate_series(0, 3) AS n LOOP
        CONTINUE WHEN EXISTS (
            SELECT 1 FROM public.keystead_record_partitions() p
            WHERE p.since < month + interval '1 month' AND p.until > month
        ) OR EXISTS (
            SELECT 1 FROM public.audit_entry_other WHERE "time" >= month AND "time" < month + interval '1 month'
        );
        RETURN NEXT public.keystead_record_add(month, month + interval '1 month');
    END LOOP;
END $$;
REVOKE ALL ON FUNCTION keystead_prepare_record() FROM PUBLIC;

-- A month that is over is indexed for whoever searches it. One that is written to is not: each call would pay for it.
CREATE FUNCTION keystead_index_record() RETURNS text
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET lock_timeout = '1s' AS $$
DECLARE
    month text;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('keystead_prepare_record'));
    SELECT name INTO month FROM public.keystead_record_partitions()
        WHERE NOT searchable AND (until < now() - interval '1 hour' OR since < date_trunc('month', now()))
        ORDER BY since DESC LIMIT 1;
    IF month IS NULL THEN
        RETURN NULL;
    END IF;
    EXECUTE format('CREATE INDEX %I ON public.%I (account_id, category, severity, actor_kind)',
        month || '_by_class', month);
    EXECUTE format('CREATE INDEX %I ON public.%I (actor_id)', month || '_by_actor', month);
    EXECUTE format('CREATE INDEX %I ON public.%I (object_id)', month || '_by_object', month);
    EXECUTE format('CREATE INDEX %I ON public.%I USING gin (groups)', month || '_by_groups', month);
    EXECUTE format('ANALYZE public.%I', month);
    RETURN month;
END $$;
REVOKE ALL ON FUNCTION keystead_index_record() FROM PUBLIC;
"""

_ATTACHED = """
DO $$
DECLARE
    lower timestamptz;
    upper timestamptz;
    made text;
BEGIN
    PERFORM set_config('timezone', 'UTC', true);
    SELECT date_trunc('month', min("time")), date_trunc('month', greatest(max("time"), now())) + interval '1 month'
        INTO lower, upper FROM audit_entry_before;
    IF lower IS NULL THEN
        DROP TABLE audit_entry_before;
    ELSE
        made := keystead_record_month(lower, upper);
        EXECUTE format('ALTER TABLE audit_entry_before RENAME TO %I', made);
        EXECUTE format('ALTER TABLE audit_entry ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', made, lower, upper);
    END IF;
    -- The net: an entry must not fail for want of a month.
    CREATE TABLE audit_entry_other (LIKE audit_entry INCLUDING DEFAULTS);
    ALTER TABLE audit_entry ATTACH PARTITION audit_entry_other DEFAULT;
    PERFORM keystead_record_settle('audit_entry_other');
    PERFORM keystead_prepare_record();
    PERFORM keystead_index_record();
END $$;
"""

_INDEXES = [
    models.Index(fields=["account_id", "time", "sequence"], name="audit_by_account"),
]


class Migration(migrations.Migration):
    """Without a way back: what was exported and dropped meanwhile would not come again."""

    dependencies = [("audit", "0006_cosignatures")]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL(_PARTITIONED)],
            state_operations=[
                migrations.RemoveIndex("auditrecord", "audit_by_account"),
                migrations.RemoveIndex("auditrecord", "audit_by_time"),
            ],
        ),
        *(migrations.AddIndex("auditrecord", index) for index in _INDEXES),
        migrations.RunSQL(_LISTED),
        migrations.RunSQL(_PREPARED),
        migrations.RunSQL(_ATTACHED),
    ]
