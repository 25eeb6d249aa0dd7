//! What others made on a live table, as statements that take it off the old table and put it on the new one.
//!
//! Every query answers with what a thing is, the statement that takes it off, and the one that puts it on the table
//! that has the live name by then. `$1` is the live table, `$2` the table that comes in its place, `$3` the schema, `$4`
//! the live name, `$5` the names of what is ours on either table. Catalog functions qualify every name, because
//! `search_path` is `pg_catalog` alone.

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Row};

use super::super::relation::{Quoted, Relation};
use super::refusal::{Failure, Refusal};
use super::tables::execute;

/// A thing on a live table, and how it is moved. Empty statements do nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Carried {
    /// `the trigger "audit"`.
    what: String,
    take_off: String,
    put_on: String,
}

/// In the order in which they are put on: what others need comes first. They are taken off in the opposite order.
const QUERIES: [&str; 16] = [
    OWNER,
    SETTINGS,
    COLUMNS,
    INDEXES,
    CONSTRAINTS,
    REPLICA_IDENTITY,
    FOREIGN_KEYS_TO_IT,
    STATISTICS,
    RULES,
    POLICIES,
    TRIGGERS,
    GRANTS,
    COMMENTS,
    PUBLICATIONS,
    FUNCTIONS,
    VIEWS,
];

const OWNER: &str = "
SELECT 'its owner' AS what, '' AS take_off,
       CASE WHEN l.relowner = n.relowner THEN ''
            ELSE format('ALTER TABLE %I.%I OWNER TO %I', $3, $4, pg_get_userbyid(l.relowner)) END AS put_on
FROM pg_class l, pg_class n WHERE l.oid = $1::oid AND n.oid = $2::oid";

const SETTINGS: &str = "
SELECT 'its settings' AS what, '' AS take_off, concat_ws('; ',
    (SELECT format('ALTER TABLE %I.%I RESET (%s)', $3, $4, string_agg(split_part(o, '=', 1), ', '))
     FROM unnest(n.reloptions) o HAVING count(*) > 0),
    (SELECT format('ALTER TABLE %I.%I SET (%s)', $3, $4,
                   string_agg(format('%s = %L', split_part(o, '=', 1), substr(o, strpos(o, '=') + 1)), ', '))
     FROM (SELECT unnest(l.reloptions) UNION ALL
           SELECT 'toast.' || unnest(t.reloptions) FROM pg_class t WHERE t.oid = l.reltoastrelid) AS s (o)
     HAVING count(*) > 0),
    CASE WHEN l.reltablespace <> n.reltablespace THEN format('ALTER TABLE %I.%I SET TABLESPACE %I', $3, $4,
        coalesce((SELECT spcname FROM pg_tablespace WHERE oid = l.reltablespace), 'pg_default')) END,
    format('ALTER TABLE %I.%I %s ROW LEVEL SECURITY, %s FORCE ROW LEVEL SECURITY', $3, $4,
           CASE WHEN l.relrowsecurity THEN 'ENABLE' ELSE 'DISABLE' END,
           CASE WHEN l.relforcerowsecurity THEN '' ELSE 'NO' END)) AS put_on
FROM pg_class l, pg_class n WHERE l.oid = $1::oid AND n.oid = $2::oid";

const COLUMNS: &str = "
SELECT format('the settings of the column %I', a.attname) AS what, '' AS take_off, concat_ws('; ',
    CASE WHEN d.oid IS NOT NULL THEN format('ALTER TABLE %I.%I ALTER %I SET DEFAULT %s', $3, $4, a.attname,
        pg_get_expr(d.adbin, d.adrelid)) END,
    CASE WHEN a.attnotnull AND NOT n.attnotnull THEN
        format('ALTER TABLE %I.%I ALTER %I SET NOT NULL', $3, $4, a.attname) END,
    CASE WHEN coalesce(a.attstattarget, -1) <> coalesce(n.attstattarget, -1) THEN
        format('ALTER TABLE %I.%I ALTER %I SET STATISTICS %s', $3, $4, a.attname, coalesce(a.attstattarget, -1)) END,
    CASE WHEN a.attstorage <> n.attstorage AND a.atttypid = n.atttypid THEN
        format('ALTER TABLE %I.%I ALTER %I SET STORAGE %s', $3, $4, a.attname, CASE a.attstorage WHEN 'p' THEN 'PLAIN'
            WHEN 'e' THEN 'EXTERNAL' WHEN 'm' THEN 'MAIN' ELSE 'EXTENDED' END) END,
    CASE WHEN a.attoptions IS NOT NULL THEN format('ALTER TABLE %I.%I ALTER %I SET (%s)', $3, $4, a.attname,
        array_to_string(a.attoptions, ', ')) END) AS put_on
FROM pg_attribute a JOIN pg_attribute n ON n.attrelid = $2::oid AND n.attname = a.attname AND NOT n.attisdropped
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum AND a.attgenerated = '' AND a.attidentity = ''
WHERE a.attrelid = $1::oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum";

const INDEXES: &str = "
SELECT format('the index %I', c.relname) AS what, format('DROP INDEX %I.%I', s.nspname, c.relname) AS take_off,
       CASE WHEN EXISTS (SELECT FROM pg_index m JOIN pg_class mc ON mc.oid = m.indexrelid WHERE m.indrelid = $2::oid
                         AND mc.relname = 'eventlift_carried_' || md5(pg_get_indexdef(c.oid)))
            THEN format('ALTER INDEX %I.%I RENAME TO %I', $3, 'eventlift_carried_' || md5(pg_get_indexdef(c.oid)), c.relname)
            ELSE pg_get_indexdef(c.oid) END
       || CASE WHEN i.indisclustered THEN format('; ALTER TABLE %I.%I CLUSTER ON %I', $3, $4, c.relname) ELSE '' END
       || coalesce(format('; COMMENT ON INDEX %I.%I IS ', $3, c.relname)
                   || quote_literal(obj_description(c.oid, 'pg_class')), '') AS put_on
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace s ON s.oid = c.relnamespace
WHERE i.indrelid = $1::oid AND c.relname::text <> ALL ($5)
  AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x'))
ORDER BY c.relname";

const CONSTRAINTS: &str = "
SELECT format('the constraint %I', k.conname) AS what,
       format('ALTER TABLE %s DROP CONSTRAINT %I', k.conrelid::regclass, k.conname) AS take_off,
       format('ALTER TABLE %I.%I ADD CONSTRAINT %I %s', $3, $4, k.conname, pg_get_constraintdef(k.oid))
       || coalesce(format('; COMMENT ON CONSTRAINT %I ON %I.%I IS ', k.conname, $3, $4)
                   || quote_literal(obj_description(k.oid, 'pg_constraint')), '') AS put_on
FROM pg_constraint k
WHERE k.conrelid = $1::oid AND k.contype IN ('c', 'u', 'x', 'f') AND k.conname::text <> ALL ($5)
ORDER BY k.contype = 'f', k.conname";

const FOREIGN_KEYS_TO_IT: &str = "
SELECT format('the foreign key %I of %s', k.conname, k.conrelid::regclass) AS what,
       format('ALTER TABLE %s DROP CONSTRAINT %I', k.conrelid::regclass, k.conname) AS take_off,
       format('ALTER TABLE %s ADD CONSTRAINT %I %s', k.conrelid::regclass, k.conname, pg_get_constraintdef(k.oid))
       || coalesce(format('; COMMENT ON CONSTRAINT %I ON %s IS ', k.conname, k.conrelid::regclass)
                   || quote_literal(obj_description(k.oid, 'pg_constraint')), '') AS put_on
FROM pg_constraint k
WHERE k.confrelid = $1::oid AND k.conrelid <> $1::oid AND k.contype = 'f' AND k.conparentid = 0
ORDER BY k.conrelid, k.conname";

const REPLICA_IDENTITY: &str = "
SELECT 'its replica identity' AS what, '' AS take_off,
       format('ALTER TABLE %I.%I REPLICA IDENTITY %s', $3, $4, CASE l.relreplident WHEN 'f' THEN 'FULL'
           WHEN 'n' THEN 'NOTHING' WHEN 'i' THEN format('USING INDEX %I', (SELECT c.relname FROM pg_index i
               JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indrelid = l.oid AND i.indisreplident))
           ELSE 'DEFAULT' END) AS put_on
FROM pg_class l, pg_class n
WHERE l.oid = $1::oid AND n.oid = $2::oid AND (l.relreplident <> n.relreplident OR l.relreplident = 'i')";

const STATISTICS: &str = "
SELECT format('the statistics %I', x.stxname) AS what,
       format('DROP STATISTICS %I.%I', s.nspname, x.stxname) AS take_off,
       pg_get_statisticsobjdef(x.oid)
       || coalesce(format('; COMMENT ON STATISTICS %I.%I IS ', s.nspname, x.stxname)
                   || quote_literal(obj_description(x.oid, 'pg_statistic_ext')), '') AS put_on
FROM pg_statistic_ext x JOIN pg_namespace s ON s.oid = x.stxnamespace
WHERE x.stxrelid = $1::oid ORDER BY x.stxname";

const RULES: &str = "
SELECT format('the rule %I on %s', r.rulename, r.ev_class::regclass) AS what,
       CASE WHEN r.ev_class = $1::oid THEN format('DROP RULE %I ON %s', r.rulename, r.ev_class::regclass) ELSE '' END
           AS take_off,
       regexp_replace(pg_get_ruledef(r.oid), '^CREATE RULE', 'CREATE OR REPLACE RULE')
       || CASE r.ev_enabled WHEN 'D' THEN format('; ALTER TABLE %s DISABLE RULE %I', r.ev_class::regclass, r.rulename)
              WHEN 'R' THEN format('; ALTER TABLE %s ENABLE REPLICA RULE %I', r.ev_class::regclass, r.rulename)
              WHEN 'A' THEN format('; ALTER TABLE %s ENABLE ALWAYS RULE %I', r.ev_class::regclass, r.rulename)
              ELSE '' END
       || coalesce(format('; COMMENT ON RULE %I ON %s IS ', r.rulename, r.ev_class::regclass)
                   || quote_literal(obj_description(r.oid, 'pg_rewrite')), '') AS put_on
FROM pg_rewrite r
WHERE r.rulename <> '_RETURN' AND (r.ev_class = $1::oid OR EXISTS (SELECT FROM pg_depend d
      WHERE d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
        AND d.refclassid = 'pg_class'::regclass AND d.refobjid = $1::oid)) ORDER BY r.ev_class, r.rulename";

const POLICIES: &str = "
SELECT format('the policy %I on %s', p.polname, p.polrelid::regclass) AS what,
       CASE WHEN p.polrelid = $1::oid THEN format('DROP POLICY %I ON %s', p.polname, p.polrelid::regclass) ELSE '' END
           AS take_off,
       CASE WHEN p.polrelid = $1::oid THEN format('CREATE POLICY %I ON %I.%I AS %s FOR %s TO %s', p.polname, $3, $4,
               CASE WHEN p.polpermissive THEN 'PERMISSIVE' ELSE 'RESTRICTIVE' END,
               CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE'
                   ELSE 'ALL' END,
               (SELECT string_agg(CASE WHEN o = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(o)) END, ', ')
                FROM unnest(p.polroles) o))
            ELSE format('ALTER POLICY %I ON %s', p.polname, p.polrelid::regclass) END
       || coalesce(' USING (' || pg_get_expr(p.polqual, p.polrelid) || ')', '')
       || coalesce(' WITH CHECK (' || pg_get_expr(p.polwithcheck, p.polrelid) || ')', '')
       || CASE WHEN p.polrelid = $1::oid THEN coalesce(format('; COMMENT ON POLICY %I ON %I.%I IS ', p.polname, $3, $4)
                   || quote_literal(obj_description(p.oid, 'pg_policy')), '') ELSE '' END AS put_on
FROM pg_policy p
WHERE (p.polrelid = $1::oid OR EXISTS (SELECT FROM pg_depend d
      WHERE d.classid = 'pg_policy'::regclass AND d.objid = p.oid
        AND d.refclassid = 'pg_class'::regclass AND d.refobjid = $1::oid)) ORDER BY p.polrelid, p.polname";

const TRIGGERS: &str = "
SELECT format('the trigger %I', t.tgname) AS what, format('DROP TRIGGER %I ON %s', t.tgname, t.tgrelid::regclass) AS take_off,
       pg_get_triggerdef(t.oid)
       || CASE t.tgenabled WHEN 'D' THEN format('; ALTER TABLE %I.%I DISABLE TRIGGER %I', $3, $4, t.tgname)
              WHEN 'R' THEN format('; ALTER TABLE %I.%I ENABLE REPLICA TRIGGER %I', $3, $4, t.tgname)
              WHEN 'A' THEN format('; ALTER TABLE %I.%I ENABLE ALWAYS TRIGGER %I', $3, $4, t.tgname) ELSE '' END
       || coalesce(format('; COMMENT ON TRIGGER %I ON %I.%I IS ', t.tgname, $3, $4)
                   || quote_literal(obj_description(t.oid, 'pg_trigger')), '') AS put_on
FROM pg_trigger t WHERE t.tgrelid = $1::oid AND NOT t.tgisinternal
ORDER BY t.tgname";

const GRANTS: &str = "
WITH l AS (SELECT c.oid, c.relowner, c.relacl FROM pg_class c WHERE c.oid = $1::oid),
grantee AS (
    SELECT DISTINCT (aclexplode(n.relacl)).grantee AS id FROM pg_class n WHERE n.oid = $2::oid
    UNION SELECT DISTINCT (aclexplode(a.attacl)).grantee FROM pg_attribute a WHERE a.attrelid = $2::oid
    UNION SELECT relowner FROM l),
given AS (
    SELECT (aclexplode(coalesce(l.relacl, acldefault('r', l.relowner)))).*, NULL::name AS of FROM l
    UNION ALL
    SELECT (aclexplode(a.attacl)).*, a.attname FROM pg_attribute a
    WHERE a.attrelid = $1::oid AND a.attnum > 0 AND NOT a.attisdropped AND EXISTS (SELECT FROM pg_attribute n
          WHERE n.attrelid = $2::oid AND n.attname = a.attname AND NOT n.attisdropped))
SELECT 'its grants' AS what, '' AS take_off, concat_ws('; ',
    (SELECT string_agg(format('REVOKE ALL ON %I.%I FROM %s CASCADE', $3, $4,
         CASE WHEN id = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(id)) END), '; ') FROM grantee),
    (SELECT string_agg(format('GRANT %s%s ON %I.%I TO %s%s', privilege_type, coalesce(' (' || quote_ident(of::text) || ')', ''), $3, $4,
         CASE WHEN grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END,
         CASE WHEN is_grantable AND grantee <> (SELECT relowner FROM l) THEN ' WITH GRANT OPTION' ELSE '' END), '; ')
     FROM given)) AS put_on";

const COMMENTS: &str = "
SELECT 'its comments' AS what, '' AS take_off, concat_ws('; ',
    format('COMMENT ON TABLE %I.%I IS %L', $3, $4, obj_description($1::oid, 'pg_class')),
    (SELECT string_agg(format('COMMENT ON COLUMN %I.%I.%I IS %L', $3, $4, a.attname, col_description(a.attrelid, a.attnum)), '; ')
     FROM pg_attribute a JOIN pg_attribute n ON n.attrelid = $2::oid AND n.attname = a.attname AND NOT n.attisdropped
     WHERE a.attrelid = $1::oid AND a.attnum > 0 AND NOT a.attisdropped)) AS put_on";

const PUBLICATIONS: &str = "
SELECT format('its membership of the publication %I', p.pubname) AS what,
       format('ALTER PUBLICATION %I DROP TABLE ', p.pubname) || r.prrelid::regclass AS take_off,
       format('ALTER PUBLICATION %I ADD TABLE %I.%I', p.pubname, $3, $4){columns}{filter} AS put_on
FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid
WHERE r.prrelid = $1::oid ORDER BY p.pubname";

/// What publications of PostgreSQL 15 and later can say of a table.
const PUBLISHED_COLUMNS: &str = " || coalesce((SELECT ' (' || string_agg(quote_ident(a.attname), ', ') || ')'
    FROM pg_attribute a WHERE a.attrelid = r.prrelid AND a.attnum = ANY (r.prattrs)), '')";
const PUBLISHED_ROWS: &str = " || coalesce(' WHERE (' || pg_get_expr(r.prqual, r.prrelid) || ')', '')";

const FUNCTIONS: &str = "
SELECT DISTINCT format('the function %s', f.oid::regprocedure) AS what, '' AS take_off, pg_get_functiondef(f.oid) AS put_on
FROM pg_depend d JOIN pg_proc f ON f.oid = d.objid AND d.classid = 'pg_proc'::regclass
WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = $1::oid AND f.prokind IN ('f', 'p')";

const VIEWS: &str = "
SELECT DISTINCT format('the view %s', v.oid::regclass) AS what, '' AS take_off,
       format('CREATE OR REPLACE VIEW %s%s AS %s', v.oid::regclass,
              coalesce(' WITH (' || array_to_string(v.reloptions, ', ') || ')', ''), pg_get_viewdef(v.oid)) AS put_on
FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid AND d.classid = 'pg_rewrite'::regclass
JOIN pg_class v ON v.oid = r.ev_class AND v.relkind = 'v'
WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = $1::oid AND r.rulename = '_RETURN'";

/// What is bound to a table or to its row type and can't be moved.
const IMMOVABLE: &str = "
SELECT DISTINCT thing FROM (
    SELECT pg_describe_object(d.classid, d.objid, d.objsubid) AS thing
    FROM pg_depend d, pg_class l
    WHERE l.oid = $1::oid AND d.deptype IN ('n', 'a') AND (
        (d.refclassid = 'pg_class'::regclass AND d.refobjid = l.oid AND d.classid NOT IN (
             'pg_rewrite'::regclass, 'pg_proc'::regclass, 'pg_policy'::regclass, 'pg_trigger'::regclass,
             'pg_constraint'::regclass, 'pg_attrdef'::regclass, 'pg_statistic_ext'::regclass,
             'pg_publication_rel'::regclass, 'pg_class'::regclass))
        OR (d.refclassid = 'pg_class'::regclass AND d.refobjid = l.oid AND d.classid = 'pg_class'::regclass
            AND d.objid <> l.oid AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indexrelid = d.objid))
        OR (d.refclassid = 'pg_type'::regclass AND d.refobjid IN (
             SELECT t.oid FROM pg_type t WHERE t.typrelid = l.oid OR t.oid =
                 (SELECT e.typarray FROM pg_type e WHERE e.typrelid = l.oid))))
    UNION ALL
    SELECT format('materialized view %s', m.oid::regclass)
    FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid AND d.classid = 'pg_rewrite'::regclass
    JOIN pg_class m ON m.oid = r.ev_class AND m.relkind = 'm'
    WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = $1::oid
    UNION ALL
    SELECT format('inheritance between %s and %s', inhrelid::regclass, inhparent::regclass) FROM pg_inherits
    WHERE inhparent = $1::oid OR inhrelid = $1::oid
    UNION ALL
    SELECT format('a security label of %s', provider) FROM pg_seclabel
    WHERE classoid = 'pg_class'::regclass AND objoid = $1::oid
    UNION ALL
    SELECT format('the identity column %I', attname) FROM pg_attribute
    WHERE attrelid = $1::oid AND attidentity <> '' AND NOT attisdropped
) AS found WHERE thing IS NOT NULL ORDER BY thing";

/// A live table, and what comes in its place.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) name: Relation,
    pub(super) live: i64,
    pub(super) next: i64,
    /// What we made on either of them.
    pub(super) own: Vec<String>,
}

/// What others made on a live table. Fails, and names it, where something can't be moved.
pub(super) async fn find(connection: &mut PgConnection, place: &Place) -> Result<Vec<Carried>, Failure> {
    let things: Vec<String> = sqlx::query_scalar(IMMOVABLE).bind(place.live).fetch_all(&mut *connection).await?;
    if !things.is_empty() {
        let message =
            format!("{} can't be moved from the live table to the new one: {}", count(&things), things.join(", "));
        return Err(Refusal::unexpected(message)
            .at(format_args!("table {}", place.name.name))
            .hint("drop it before the swap and make it again behind it; a view in place of a materialized one is moved")
            .into());
    }
    let is_15 = connection.server_version_num().is_some_and(|version| version >= 150_000);
    let mut found = Vec::new();
    for query in QUERIES {
        let sql = query
            .replace("{columns}", if is_15 { PUBLISHED_COLUMNS } else { "" })
            .replace("{filter}", if is_15 { PUBLISHED_ROWS } else { "" });
        let rows = sqlx::query(AssertSqlSafe(sql))
            .bind(place.live)
            .bind(place.next)
            .bind(&place.name.schema)
            .bind(&place.name.name)
            .bind(&place.own)
            .fetch_all(&mut *connection)
            .await?;
        for row in rows {
            let carried = Carried {
                what: row.try_get("what")?,
                take_off: row.try_get("take_off")?,
                put_on: row.try_get("put_on")?,
            };
            found.push(carried);
        }
    }
    Ok(found)
}

fn count(things: &[String]) -> &'static str {
    if things.len() == 1 { "one thing" } else { "some things" }
}

/// Builds the indexes that others made on a live table on the one that comes in its place, before anybody waits.
pub(super) async fn prepare_indexes(
    connection: &mut PgConnection,
    place: &Place,
    next: &Relation,
) -> Result<(), Failure> {
    let sql = "SELECT format('%I', c.relname) AS what, 'eventlift_carried_' || md5(pg_get_indexdef(c.oid)) AS name,
                      pg_get_indexdef(c.oid) AS made, i.indisunique AS is_unique,
                      format('CREATE %sINDEX %I ON %s ', CASE WHEN i.indisunique THEN 'UNIQUE ' ELSE '' END, c.relname,
                             i.indrelid::regclass) AS begins
               FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
               WHERE i.indrelid = $1::oid AND c.relname::text <> ALL ($2)
                 AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x'))";
    let rows = sqlx::query(sql).bind(place.live).bind(&place.own).fetch_all(&mut *connection).await?;
    for row in rows {
        let (what, name, made, begins, is_unique): (String, String, String, String, bool) = (
            row.try_get("what")?,
            row.try_get("name")?,
            row.try_get("made")?,
            row.try_get("begins")?,
            row.try_get("is_unique")?,
        );
        // What is written otherwise is built once the table has its name.
        let Some(rest) = made.strip_prefix(&begins) else { continue };
        let unique = if is_unique { "UNIQUE " } else { "" };
        let sql = format!("CREATE {unique}INDEX {} ON {next} {rest}", Quoted(&name));
        execute(connection, "SET LOCAL statement_timeout = 0".to_owned()).await?;
        execute(connection, sql).await.map_err(|failure| unfit(&format!("the index {what}"), failure))?;
    }
    execute(connection, "SET LOCAL statement_timeout = DEFAULT".to_owned()).await
}

/// Takes things off the old tables.
pub(super) async fn take_off(connection: &mut PgConnection, carried: &[Carried]) -> Result<(), Failure> {
    for thing in carried.iter().rev().filter(|thing| !thing.take_off.is_empty()) {
        execute(connection, thing.take_off.clone()).await.map_err(|failure| unfit(&thing.what, failure))?;
    }
    Ok(())
}

/// Puts things on the new tables, which have the live names now. Fails where one does not fit.
pub(super) async fn put_on(connection: &mut PgConnection, carried: &[Carried]) -> Result<(), Failure> {
    for thing in carried.iter().filter(|thing| !thing.put_on.is_empty()) {
        execute(connection, thing.put_on.clone()).await.map_err(|failure| unfit(&thing.what, failure))?;
    }
    Ok(())
}

/// Things of several tables in the order in which they are put on: views and functions, which may speak of all of them,
/// and foreign keys behind everything they need; each once.
pub(super) fn in_order(all: Vec<Carried>) -> Vec<Carried> {
    let mut ordered: Vec<Carried> = Vec::with_capacity(all.len());
    for thing in all {
        if !ordered.contains(&thing) {
            ordered.push(thing);
        }
    }
    let rank = |thing: &Carried| match &thing.what {
        what if what.starts_with("the view ") => 3,
        what if what.starts_with("the function ") => 2,
        what if what.starts_with("the foreign key ") => 1,
        _ => 0,
    };
    ordered.sort_by_key(rank);
    ordered
}

fn unfit(what: &str, failure: Failure) -> Failure {
    let passes = matches!(failure.code(), None | Some("55P03" | "40P01" | "40001" | "57014" | "53100"));
    if passes || failure.is_disconnected() || matches!(failure, Failure::Refused(_)) {
        return failure;
    }
    let kind = match failure.code() {
        Some("42501") => eventlift_events::StoreErrorKind::Denied(format!("{what} can't be moved: {}", failure.said())),
        _ => eventlift_events::StoreErrorKind::Unexpected(format!(
            "{what}, which eventlift did not make, can't be on the new table: {}",
            failure.said()
        )),
    };
    let hint = match failure.code() {
        Some("42501") => format!("let the owner of {what} grant its role to the one that swaps: GRANT owner TO role"),
        Some("23503") => "delete or correct those rows, or drop the foreign key".to_owned(),
        _ => format!("drop {what}, or declare it in the projection"),
    };
    Refusal::new(kind).hint(hint).into()
}
