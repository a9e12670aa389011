//! Results: from a description and a plan to the masker of the rows, and the rows through it.

use super::{Expect, Flow, Pump};
use crate::message::{Field, FormatCode, RowDescription};
use crate::prepare::Prepared;
use crate::startup::parameters::is_utf8;
use bytes::BytesMut;
use lockgate_core::limits::PG_FIRST_USER_OID;
use lockgate_mask::{Column, CopyFormat, CopyMasker, Format, Mark, Method, RowMasker, RowStream, Rule, Touch};
use lockgate_session::wire::Io;
use lockgate_session::{ColumnMask, Masks, Plan};
use lockgate_sql::{CopyKind, Effect, ForceQuote, Output, Outputs, Statement};
use std::sync::Arc;

/// Rows above this are passed on in pieces where nothing in them is masked.
const PIECES_ABOVE_BYTES: usize = 128 * 1024;

/// What reading rows ran into.
pub(super) enum RowsEnd {
    /// All whole rows are taken; more bytes are needed.
    More,
    /// The next message is no row.
    Other,
    /// The target broke its word.
    Broken(String),
}

/// Whether a column has another name than the server was certain to give it. Names in other characters than ASCII come in
/// the session's encoding, and are not compared.
fn is_renamed(outputs: &[Output], described: &RowDescription<'_>) -> bool {
    let mut pairs = outputs.iter().zip(described.fields());
    pairs.any(|(output, field)| output.named && output.name.is_ascii() && output.name.as_bytes() != field.name)
}

impl Pump {
    /// The masker for a described result, from the last time where the statement is the same.
    pub(super) fn known_masker(
        &mut self,
        statement: Option<&(Arc<Prepared>, usize)>,
        description: &[u8],
        formats: Option<&[u16]>,
        plan: &Plan,
        io: &Io,
    ) -> Result<Arc<RowMasker>, String> {
        // What was made under another catalog or other rules is not for this result.
        let current = statement.filter(|(prepared, _)| prepared.view.snapshot == self.truth.snapshot.id);
        if let Some((prepared, index)) = current
            && let Some(known) = prepared.masker(*index, description, formats)
        {
            return Ok(known);
        }
        let masker = self.masker_of(statement, description, formats, plan, io)?;
        if let Some((prepared, index)) = current
            && self.session.is_current(&prepared.judgement)
        {
            prepared.keep_masker(*index, description, formats, &masker);
        }
        Ok(masker)
    }

    /// The masker for a described result.
    fn masker_of(
        &mut self,
        statement: Option<&(Arc<Prepared>, usize)>,
        description: &[u8],
        formats: Option<&[u16]>,
        plan: &Plan,
        io: &Io,
    ) -> Result<Arc<RowMasker>, String> {
        let described = RowDescription::decode(description).map_err(|e| e.to_string())?;
        let count = described.len();
        let mut columns = Vec::with_capacity(count);
        let rules = self.session.rules();
        let labelled = self.labelled();
        let snapshot = Arc::clone(&self.truth.snapshot);
        let mut judge = self.session.judge(&rules, io.now);
        // A plan for another number of columns, or for columns that are called otherwise, is a plan for another result.
        let outputs = statement.and_then(|(prepared, index)| Some(&prepared.statements().get(*index)?.outputs));
        let renamed = matches!(outputs, Some(Outputs::Known(outputs)) if is_renamed(outputs, &described));
        let beyond = match &plan.masks {
            Masks::Columns { columns, beyond } if !columns.is_empty() && (renamed || columns.len() != count) => {
                Some(beyond.clone())
            }
            Masks::Columns { .. } | Masks::Clear => None,
        };
        for (index, field) in described.fields().enumerate() {
            let mut mask = match &beyond {
                Some(beyond) => beyond.clone(),
                None => plan.masks.column(index).cloned(),
            };
            if labelled && field.table_oid != 0 {
                // The target's own word on where a column comes from can only add to the analysis.
                let taint = snapshot.catalog.by_oid(field.table_oid, field.attnum);
                let own = match judge.mask_of(&snapshot.catalog, &taint, field.attnum > 0) {
                    Ok(own) => own,
                    Err(_) => judge.redacted(),
                };
                mask = stronger(mask, own);
            }
            let format = match formats {
                None => field.format,
                Some([]) => FormatCode::Text,
                Some([one]) => FormatCode::from_code(*one),
                Some(each) => FormatCode::from_code(each.get(index).copied().unwrap_or(0)),
            };
            columns.push(Column {
                type_oid: field.type_oid,
                typmod: field.typmod,
                format: match format {
                    FormatCode::Text => Format::Text,
                    FormatCode::Binary => Format::Binary,
                    FormatCode::Unknown(code) => return Err(format!("unknown format code {code}")),
                },
                rule: match rule_of(mask) {
                    Rule::Pass if is_counted(&field) => Rule::Counted,
                    rule => rule,
                },
            });
        }
        let mut masker = RowMasker::new(&columns, &snapshot.types, &rules.mask_keys);
        if let Some(content) = &self.content {
            let names: Vec<&[u8]> = described.fields().map(|field| field.name).collect();
            masker.look_into(content, &columns, &names, &snapshot.types);
        }
        Ok(Arc::new(masker))
    }

    /// A masker for a function's result: one column, of type 0 where nobody knows it.
    pub(super) fn function_masker(&mut self, plan: &Plan, type_oid: u32, format: Format) -> RowMasker {
        let rules = self.session.rules();
        let rule = rule_of(plan.masks.column(0).cloned());
        let column = Column { type_oid, typmod: -1, format, rule };
        let columns = [column];
        let types = &self.truth.snapshot.types;
        let mut masker = RowMasker::new(&columns, types, &rules.mask_keys);
        if let Some(content) = &self.content {
            masker.look_into(content, &columns, &[], types);
        }
        masker
    }

    /// The masker for a COPY TO STDOUT of so many columns. `described`: type, modifier, table and number of each, where the
    /// target was asked.
    pub(super) fn copy_masker(
        &mut self,
        statement: Option<&Statement>,
        plan: &Plan,
        count: usize,
        binary: bool,
        described: Option<Vec<(u32, i32, u32, i16)>>,
        io: &Io,
    ) -> Result<CopyMasker, String> {
        let rules = self.session.rules();
        let (format, types) = match statement.map(|s| &s.effect) {
            Some(Effect::CopyOut(options)) => {
                let outputs = match statement.map(|s| &s.outputs) {
                    Some(Outputs::Known(outputs)) => outputs.as_slice(),
                    _ => &[],
                };
                let format = match options.kind {
                    CopyKind::Text => CopyFormat::Text {
                        delimiter: options.delimiter,
                        null: options.null.clone().into_bytes(),
                        header: options.header,
                    },
                    CopyKind::Csv => CopyFormat::Csv {
                        delimiter: options.delimiter,
                        quote: options.quote,
                        escape: options.escape,
                        null: options.null.clone().into_bytes(),
                        header: options.header,
                        force_quote: match &options.force_quote {
                            ForceQuote::None => Vec::new(),
                            ForceQuote::All => vec![true; count],
                            ForceQuote::Columns(names) => outputs.iter().map(|o| names.contains(&o.name)).collect(),
                        },
                    },
                    CopyKind::Binary => CopyFormat::Binary,
                };
                let types = match &described {
                    Some(columns) => columns.iter().map(|(type_oid, typmod, ..)| (*type_oid, *typmod)).collect(),
                    None => self.copy_types(statement, count),
                };
                (format, types)
            }
            // A COPY that was not foreseen: only one in which nothing is masked passes.
            _ if !plan.masks.any() && self.content.is_none() => return Ok(CopyMasker::passing()),
            _ if !plan.masks.any() => {
                (if binary { CopyFormat::Binary } else { CopyFormat::text() }, vec![(0, -1); count])
            }
            _ => return Err("a COPY that the statement did not ask for".into()),
        };
        if binary != matches!(format, CopyFormat::Binary) {
            return Err("a COPY in another format than was asked for".into());
        }
        let known = match &plan.masks {
            Masks::Columns { columns, .. } if columns.len() == count => true,
            Masks::Columns { columns, .. } => columns.is_empty(),
            Masks::Clear => true,
        };
        let labelled = self.labelled();
        let snapshot = Arc::clone(&self.truth.snapshot);
        let mut judge = self.session.judge(&rules, io.now);
        let columns: Vec<Column> = (0..count)
            .zip(types)
            .map(|(index, (type_oid, typmod))| {
                let at = if known { index } else { usize::MAX };
                let mut mask = plan.masks.column(at).cloned();
                if let Some((_, _, table, number)) = described.as_ref().and_then(|d| d.get(index))
                    && labelled
                    && *table != 0
                {
                    // As with rows: the target's own word can only add to the analysis.
                    let taint = snapshot.catalog.by_oid(*table, *number);
                    let own =
                        judge.mask_of(&snapshot.catalog, &taint, *number > 0).unwrap_or_else(|_| judge.redacted());
                    mask = stronger(mask, own);
                }
                let rule = rule_of(mask);
                Column { type_oid, typmod, format: Format::Text, rule }
            })
            .collect();
        let encoding = match statement.map(|s| &s.effect) {
            Some(Effect::CopyOut(options)) => options.encoding.as_deref(),
            _ => None,
        };
        let hides = self.content.is_some() || columns.iter().any(|c| matches!(c.rule, Rule::Mask { .. }));
        if !binary && !encoding.map_or(self.lexing.encoding, is_utf8) {
            // A delimiter may be half of a character.
            let error = "a copy with what is to be masked in another encoding than UTF-8";
            return if hides { Err(error.into()) } else { Ok(CopyMasker::passing()) };
        }
        let mut masker = CopyMasker::new(&format, &columns, &self.truth.snapshot.types, &rules.mask_keys)
            .map_err(|e| e.to_string())?;
        // Names in a header that the analysis did not foresee are data like any other.
        let foreseen = statement.is_some_and(|s| match &s.outputs {
            Outputs::Known(outputs) => outputs.len() == count,
            Outputs::NoRows | Outputs::Each(_) => false,
        });
        if !foreseen {
            let hidden: Vec<bool> = columns.iter().map(|c| !matches!(c.rule, Rule::Pass | Rule::Counted)).collect();
            masker.hide_names(&hidden);
        }
        if let Some(content) = &self.content {
            let names: Vec<&[u8]> = match statement.map(|s| &s.outputs) {
                Some(Outputs::Known(outputs)) => outputs.iter().map(|o| o.name.as_bytes()).collect(),
                _ => Vec::new(),
            };
            masker.look_into(content, &format, &columns, &names, &self.truth.snapshot.types);
        }
        Ok(masker)
    }

    /// The types of a copied table's columns, which the target does not say. Those of a query that nobody asked about are not
    /// known, and its masked columns come as NULL.
    fn copy_types(&self, statement: Option<&Statement>, count: usize) -> Vec<(u32, i32)> {
        let known = statement.and_then(|statement| {
            let Outputs::Known(outputs) = &statement.outputs else { return None };
            let [table] = statement.facts.tables.as_slice() else { return None };
            let names: Vec<&str> = outputs.iter().map(|o| o.name.as_str()).collect();
            self.truth.snapshot.catalog.column_types(table, &names)
        });
        match known {
            Some(types) if types.len() == count => types,
            Some(_) | None => vec![(0, -1); count],
        }
    }

    /// Takes the rows at the front of the buffer.
    pub(super) fn rows(&mut self, buffer: &mut BytesMut, io: &mut Io) -> RowsEnd {
        if self.row_stream.is_some() {
            return self.row_piece(buffer, io);
        }
        if self.overlong.is_some() {
            return if self.drop_rows(buffer) { RowsEnd::Other } else { RowsEnd::More };
        }
        if let Err(why) = self.begin_execution(io) {
            return RowsEnd::Broken(why);
        }
        let Some((request, masker)) = self.row_flow().map(|(r, f)| (r, f.masker.clone())) else {
            return RowsEnd::Broken("a row where none was expected".into());
        };
        // Whole frames that follow one another.
        let mut end = 0;
        let mut count: u64 = 0;
        let mut large = None;
        while let Some([b'D', a, b, c, d, ..]) = buffer.get(end..) {
            let length = u32::from_be_bytes([*a, *b, *c, *d]);
            let Some(length) = usize::try_from(length).ok().filter(|l| *l >= 4) else {
                return RowsEnd::Broken("a row of impossible length".into());
            };
            let next = end.saturating_add(length).saturating_add(1);
            if next > buffer.len() {
                if length > PIECES_ABOVE_BYTES {
                    large = Some(length - 4);
                }
                break;
            }
            end = next;
            count += 1;
        }
        let masker = match masker {
            Some(masker) => masker,
            None => match self.undescribed(buffer) {
                Ok(Some(masker)) => masker,
                Ok(None) => return RowsEnd::More,
                Err(why) => return RowsEnd::Broken(why),
            },
        };
        if end > 0 {
            let frames = buffer.split_to(end);
            let mark = io.client.mark();
            if let Err(error) = io.client.rows(&masker, &frames) {
                return RowsEnd::Broken(error.to_string());
            }
            if let Some(end) = self.record_rows(request, count, mark, io) {
                return end;
            }
        }
        if let Some(body) = large
            && buffer.len() >= 5
        {
            match RowStream::new(Arc::clone(&masker), body) {
                Ok(stream) => {
                    drop(buffer.split_to(5));
                    self.row_stream = Some(stream);
                    return self.row_piece(buffer, io);
                }
                Err(error) => return RowsEnd::Broken(error.to_string()),
            }
        }
        match buffer.first() {
            None | Some(b'D') => RowsEnd::More,
            Some(_) => RowsEnd::Other,
        }
    }

    fn row_piece(&mut self, buffer: &mut BytesMut, io: &mut Io) -> RowsEnd {
        let Some(mut stream) = self.row_stream.take() else { return RowsEnd::Other };
        let Some(request) = self.row_flow().map(|(request, _)| request) else {
            return RowsEnd::Broken("a row where none was expected".into());
        };
        let piece = buffer.split_to(stream.missing().min(buffer.len()));
        let mark = io.client.mark();
        if let Err(error) = io.client.row_piece(&mut stream, &piece) {
            return RowsEnd::Broken(error.to_string());
        }
        let finished = stream.missing() == 0;
        if stream.is_refused() {
            self.refuse_row(io);
        } else if let Some(end) = self.record_rows(request, u64::from(finished), mark, io) {
            return end;
        }
        if !finished {
            self.row_stream = Some(stream);
            return RowsEnd::More;
        }
        match buffer.first() {
            None => RowsEnd::More,
            Some(_) => RowsEnd::Other,
        }
    }

    fn record_rows(&mut self, request: u64, count: u64, mark: Mark, io: &mut Io) -> Option<RowsEnd> {
        let recorded = self.session.rows(request, count, io.client.bytes_since(mark), io.now);
        match recorded {
            Ok(()) => None,
            Err(error) => {
                self.unrecordable(io, &error);
                Some(RowsEnd::More)
            }
        }
    }

    /// The request and the flow that rows belong to now.
    fn row_flow(&mut self) -> Option<(u64, &mut Flow)> {
        match self.expect.front_mut() {
            Some(Expect::Simple(simple)) => Some((simple.request, &mut simple.result)),
            Some(Expect::Execute(execution)) => Some((execution.request, &mut execution.result)),
            _ => None,
        }
    }

    /// Rows of a portal that nobody described: they pass only where nothing is labelled. The first says how many columns
    /// there are.
    fn undescribed(&mut self, buffer: &BytesMut) -> Result<Option<Arc<RowMasker>>, String> {
        if self.labelled() {
            return Err("rows without a description".into());
        }
        let Some([_, _, _, _, _, a, b, ..]) = buffer.get(..) else { return Ok(None) };
        let count = usize::from(u16::from_be_bytes([*a, *b]));
        let column = Column { type_oid: 0, typmod: -1, format: Format::Text, rule: Rule::Pass };
        let rules = self.session.rules();
        let masker = Arc::new(RowMasker::new(&vec![column; count], &self.truth.snapshot.types, &rules.mask_keys));
        if let Some((_, flow)) = self.row_flow() {
            flow.masker = Some(Arc::clone(&masker));
        }
        Ok(Some(masker))
    }
}

fn rule_of(mask: Option<ColumnMask>) -> Rule {
    match mask {
        None => Rule::Pass,
        Some(mask) if mask.derived && mask.method <= Method::Redact => Rule::Hide,
        Some(mask) => Rule::Mask { method: mask.method, label: mask.label },
    }
}

/// Whether a field is a column of the server's own catalog of lists of numbers, of types, columns or relations: they are in no
/// data's likeness but by chance (`2281 2281 3615`), and programs that read the catalog end where one is empty.
fn is_counted(field: &Field<'_>) -> bool {
    /// `int2vector`, `oidvector`, and arrays of `int2` and `oid`.
    const LISTS: [u32; 4] = [22, 30, 1005, 1028];
    (1..PG_FIRST_USER_OID).contains(&field.table_oid) && field.attnum > 0 && LISTS.contains(&field.type_oid)
}

/// The plan that keeps both; `None` where they are of different results.
pub(super) fn stronger_plan(one: &Plan, other: &Plan) -> Option<Plan> {
    let touch = if one.touch == other.touch { one.touch } else { Touch::Labelled };
    let masks = match (&one.masks, &other.masks) {
        (Masks::Clear, masks) | (masks, Masks::Clear) => masks.clone(),
        (Masks::Columns { columns: a, beyond: x }, Masks::Columns { columns: b, beyond: y }) if a.len() == b.len() => {
            let columns = a.iter().zip(b).map(|(a, b)| stronger(a.clone(), b.clone())).collect();
            Masks::Columns { columns, beyond: stronger(x.clone(), y.clone()) }
        }
        (Masks::Columns { .. }, Masks::Columns { .. }) => return None,
    };
    Some(Plan { masks, touch })
}

fn stronger(one: Option<ColumnMask>, other: Option<ColumnMask>) -> Option<ColumnMask> {
    match (one, other) {
        (Some(one), Some(other)) => {
            let same_label = one.label == other.label;
            let derived = one.derived || other.derived;
            let mut strongest = if other.method > one.method { other } else { one };
            // Two answers to which label a value has: a stand-in under either could be that of another value.
            if !same_label {
                strongest.method = strongest.method.max(Method::Redact);
            }
            strongest.derived = derived;
            Some(strongest)
        }
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockgate_sql::Taint;

    #[test]
    fn a_column_that_is_called_otherwise_is_another() {
        let foreseen = |name: &str, named| Output {
            name: name.into(),
            named,
            value: Taint::CLEAN,
            plain: true,
            size: 0,
            sure: true,
        };
        let mut body = vec![0, 2];
        for name in ["id", "x"] {
            body.extend(name.as_bytes());
            body.extend([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 23, 0, 4, 255, 255, 255, 255, 0, 0]);
        }
        let described = RowDescription::decode(&body).expect("two columns");
        for (outputs, renamed) in [
            ([foreseen("id", true), foreseen("x", true)], false),
            ([foreseen("id", true), foreseen("y", true)], true),
            ([foreseen("x", true), foreseen("id", true)], true),
            ([foreseen("id", true), foreseen("y", false)], false),
            ([foreseen("id", true), foreseen("é", true)], false),
        ] {
            assert_eq!(is_renamed(&outputs, &described), renamed, "{outputs:?}");
        }
    }
}
