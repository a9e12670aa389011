//! Every kind of node that the grammar can make, and where the analysis takes it. The table is a match without a
//! wildcard: a grammar with one kind more does not compile here until someone has said where it belongs, and the test
//! holds the analysis to it. Whatever is taken nowhere is refused wherever it turns up.

use lockgate_core::Action;
use pg_query::NodeEnum;
use pg_query::protobuf::Node;

use super::scope::{From, Scope};
use super::{Analyzer, Context};
use crate::catalog::Catalog;

/// Where a kind of node stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// By itself.
    Statement,
    /// Where a value is.
    Expression,
    /// In a FROM clause, or as the target of a statement.
    FromItem,
    /// Within a node that knows it by name, never by itself.
    Part,
    /// Nowhere in what the grammar makes: the server's own rewriting and planning put it in.
    Made,
}

macro_rules! kinds {
    ($($place:ident: $($kind:ident)+;)+) => {
        fn place(kind: &NodeEnum) -> Place {
            match kind {
                $($(NodeEnum::$kind(_) => Place::$place,)+)+
            }
        }

        fn all() -> Vec<NodeEnum> {
            vec![$($(NodeEnum::$kind(Default::default()),)+)+]
        }
    };
}

kinds! {
    Statement:
        InsertStmt DeleteStmt UpdateStmt MergeStmt SelectStmt CreateSchemaStmt AlterTableStmt
        AlterCollationStmt AlterDomainStmt GrantStmt GrantRoleStmt AlterDefaultPrivilegesStmt CopyStmt
        VariableSetStmt VariableShowStmt CreateStmt CreateTableSpaceStmt DropTableSpaceStmt
        AlterTableSpaceOptionsStmt AlterTableMoveAllStmt CreateExtensionStmt AlterExtensionStmt
        AlterExtensionContentsStmt CreateFdwStmt AlterFdwStmt CreateForeignServerStmt AlterForeignServerStmt
        CreateForeignTableStmt CreateUserMappingStmt AlterUserMappingStmt DropUserMappingStmt
        ImportForeignSchemaStmt CreatePolicyStmt AlterPolicyStmt CreateAmStmt CreateTrigStmt
        CreateEventTrigStmt AlterEventTrigStmt CreatePlangStmt CreateRoleStmt AlterRoleStmt AlterRoleSetStmt
        DropRoleStmt CreateSeqStmt AlterSeqStmt DefineStmt CreateDomainStmt CreateOpClassStmt
        CreateOpFamilyStmt AlterOpFamilyStmt DropStmt TruncateStmt CommentStmt SecLabelStmt DeclareCursorStmt
        ClosePortalStmt FetchStmt IndexStmt CreateStatsStmt AlterStatsStmt CreateFunctionStmt
        AlterFunctionStmt DoStmt CallStmt RenameStmt AlterObjectDependsStmt AlterObjectSchemaStmt
        AlterOwnerStmt AlterOperatorStmt AlterTypeStmt RuleStmt NotifyStmt ListenStmt UnlistenStmt
        TransactionStmt CompositeTypeStmt CreateEnumStmt CreateRangeStmt AlterEnumStmt ViewStmt LoadStmt
        CreatedbStmt AlterDatabaseStmt AlterDatabaseRefreshCollStmt AlterDatabaseSetStmt DropdbStmt
        AlterSystemStmt ClusterStmt VacuumStmt ExplainStmt CreateTableAsStmt RefreshMatViewStmt CheckPointStmt
        DiscardStmt LockStmt ConstraintsSetStmt ReindexStmt CreateConversionStmt CreateCastStmt
        CreateTransformStmt PrepareStmt ExecuteStmt DeallocateStmt DropOwnedStmt ReassignOwnedStmt
        AlterTsdictionaryStmt AlterTsconfigurationStmt CreatePublicationStmt AlterPublicationStmt
        CreateSubscriptionStmt AlterSubscriptionStmt DropSubscriptionStmt;
    Expression:
        GroupingFunc MergeSupportFunc NamedArgExpr BoolExpr SubLink CaseExpr RowExpr CoalesceExpr MinMaxExpr
        SqlvalueFunction XmlExpr JsonValueExpr JsonIsPredicate NullTest BooleanTest SetToDefault CurrentOfExpr
        TypeName ColumnRef ParamRef AExpr TypeCast CollateClause FuncCall AStar AIndirection AArrayExpr
        ResTarget MultiAssignRef SortBy XmlSerialize GroupingSet JsonArgument JsonFuncExpr JsonKeyValue
        JsonParseExpr JsonScalarExpr JsonSerializeExpr JsonObjectConstructor JsonArrayConstructor
        JsonArrayQueryConstructor JsonObjectAgg JsonArrayAgg Integer String List AConst;
    FromItem:
        RangeVar JoinExpr RangeSubselect RangeFunction RangeTableFunc RangeTableSample JsonTable;
    Part:
        Alias IntoClause CaseWhen JsonFormat JsonReturning JsonBehavior RoleSpec AIndices WindowDef
        RangeTableFuncCol ColumnDef TableLikeClause IndexElem DefElem LockingClause PartitionElem
        PartitionSpec PartitionBoundSpec PartitionRangeDatum PartitionCmd WithClause InferClause
        OnConflictClause CtesearchClause CtecycleClause CommonTableExpr MergeWhenClause ReturningOption
        ReturningClause TriggerTransition JsonOutput JsonTablePathSpec JsonTableColumn JsonAggConstructor
        RawStmt ReturnStmt PlassignStmt AlterTableCmd AtalterConstraint ReplicaIdentityStmt ObjectWithArgs
        AccessPriv Constraint CreateOpClassItem StatsElem FunctionParameter VacuumRelation PublicationTable
        PublicationObjSpec Float Boolean BitString;
    Made:
        TableFunc Var Param Aggref WindowFunc WindowFuncRunCondition SubscriptingRef FuncExpr OpExpr
        DistinctExpr NullIfExpr ScalarArrayOpExpr SubPlan AlternativeSubPlan FieldSelect FieldStore
        RelabelType CoerceViaIo ArrayCoerceExpr ConvertRowtypeExpr CollateExpr CaseTestExpr ArrayExpr
        RowCompareExpr JsonConstructorExpr JsonExpr JsonTablePath JsonTablePathScan JsonTableSiblingJoin
        MergeAction CoerceToDomain CoerceToDomainValue NextValueExpr InferenceElem ReturningExpr TargetEntry
        RangeTblRef FromExpr OnConflictExpr Query RangeTblEntry RtepermissionInfo RangeTblFunction
        TableSampleClause WithCheckOption SortGroupClause WindowClause RowMarkClause SetOperationStmt
        InlineCodeBlock CallContext IntList OidList;
}

/// What the server calls the nodes in its trees, but for whole statements.
pub(crate) fn labels() -> Vec<String> {
    let parts = all().into_iter().filter(|kind| place(kind) != Place::Statement);
    parts
        .map(|kind| format!("{kind:?}").chars().take_while(|c| c.is_alphanumeric()).collect::<String>().to_uppercase())
        .collect()
}

fn is_refused(analyzer: &Analyzer<'_>, why: &str) -> bool {
    analyzer.opaque
        && analyzer.needs.iter().any(|n| matches!(n.action, Action::Administer | Action::Execute) && n.why == why)
}

#[test]
fn every_kind_is_taken_where_it_stands_and_nowhere_else() {
    let catalog = Catalog::build(Default::default(), &[], &[]);
    let context = Context { catalog: &catalog, search_path: &[], path_known: true };
    let kinds = all();
    assert!(kinds.len() > 250, "{}", kinds.len());
    for kind in kinds {
        let node = Node { node: Some(kind) };
        let Some(kind) = node.node.as_ref() else { continue };
        let root = Scope::root();
        let mut taken = Vec::new();
        let mut analyzer = Analyzer::new(&context, &[]);
        analyzer.command(kind, &root);
        if !is_refused(&analyzer, "a kind of statement that is not known") {
            taken.push(Place::Statement);
        }
        let mut analyzer = Analyzer::new(&context, &[]);
        analyzer.expr(&node, &root);
        if !is_refused(&analyzer, "an expression that is not understood") {
            taken.push(Place::Expression);
        }
        let mut analyzer = Analyzer::new(&context, &[]);
        analyzer.item_of(&node, &From::empty(), &root);
        if !is_refused(&analyzer, "a FROM item that is not understood") {
            taken.push(Place::FromItem);
        }
        let expected = match place(kind) {
            Place::Part | Place::Made => Vec::new(),
            place => vec![place],
        };
        assert_eq!(taken, expected, "{kind:?}");
    }
}
