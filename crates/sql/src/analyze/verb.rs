//! The names that policies know statements by: the server's command tags in lower case, words joined by underscores.

use pg_query::protobuf::ObjectType;

/// `verb!(prefix, kind)`: the tag of a command that works on many kinds of objects.
macro_rules! verbs {
    ($name:ident, $prefix:literal) => {
        /// The tag of this command on this kind of object.
        pub(super) fn $name(kind: ObjectType) -> &'static str {
            match kind {
                ObjectType::ObjectAccessMethod => concat!($prefix, "_access_method"),
                ObjectType::ObjectAggregate => concat!($prefix, "_aggregate"),
                ObjectType::ObjectAttribute | ObjectType::ObjectType => concat!($prefix, "_type"),
                ObjectType::ObjectCast => concat!($prefix, "_cast"),
                ObjectType::ObjectCollation => concat!($prefix, "_collation"),
                ObjectType::ObjectConversion => concat!($prefix, "_conversion"),
                ObjectType::ObjectDatabase => concat!($prefix, "_database"),
                ObjectType::ObjectDomain | ObjectType::ObjectDomconstraint => concat!($prefix, "_domain"),
                ObjectType::ObjectEventTrigger => concat!($prefix, "_event_trigger"),
                ObjectType::ObjectExtension => concat!($prefix, "_extension"),
                ObjectType::ObjectFdw => concat!($prefix, "_foreign_data_wrapper"),
                ObjectType::ObjectForeignServer => concat!($prefix, "_server"),
                ObjectType::ObjectForeignTable => concat!($prefix, "_foreign_table"),
                ObjectType::ObjectFunction => concat!($prefix, "_function"),
                ObjectType::ObjectIndex => concat!($prefix, "_index"),
                ObjectType::ObjectLanguage => concat!($prefix, "_language"),
                ObjectType::ObjectLargeobject => concat!($prefix, "_large_object"),
                ObjectType::ObjectMatview => concat!($prefix, "_materialized_view"),
                ObjectType::ObjectOpclass => concat!($prefix, "_operator_class"),
                ObjectType::ObjectOperator => concat!($prefix, "_operator"),
                ObjectType::ObjectOpfamily => concat!($prefix, "_operator_family"),
                ObjectType::ObjectPolicy => concat!($prefix, "_policy"),
                ObjectType::ObjectProcedure => concat!($prefix, "_procedure"),
                ObjectType::ObjectPublication => concat!($prefix, "_publication"),
                ObjectType::ObjectRole => concat!($prefix, "_role"),
                ObjectType::ObjectRoutine => concat!($prefix, "_routine"),
                ObjectType::ObjectRule => concat!($prefix, "_rule"),
                ObjectType::ObjectSchema => concat!($prefix, "_schema"),
                ObjectType::ObjectSequence => concat!($prefix, "_sequence"),
                ObjectType::ObjectStatisticExt => concat!($prefix, "_statistics"),
                ObjectType::ObjectSubscription => concat!($prefix, "_subscription"),
                ObjectType::ObjectTable
                | ObjectType::ObjectColumn
                | ObjectType::ObjectTabconstraint
                | ObjectType::ObjectDefault => concat!($prefix, "_table"),
                ObjectType::ObjectTablespace => concat!($prefix, "_tablespace"),
                ObjectType::ObjectTransform => concat!($prefix, "_transform"),
                ObjectType::ObjectTrigger => concat!($prefix, "_trigger"),
                ObjectType::ObjectTsconfiguration => concat!($prefix, "_text_search_configuration"),
                ObjectType::ObjectTsdictionary => concat!($prefix, "_text_search_dictionary"),
                ObjectType::ObjectTsparser => concat!($prefix, "_text_search_parser"),
                ObjectType::ObjectTstemplate => concat!($prefix, "_text_search_template"),
                ObjectType::ObjectUserMapping => concat!($prefix, "_user_mapping"),
                ObjectType::ObjectView => concat!($prefix, "_view"),
                ObjectType::Undefined
                | ObjectType::ObjectAmop
                | ObjectType::ObjectAmproc
                | ObjectType::ObjectDefacl
                | ObjectType::ObjectParameterAcl
                | ObjectType::ObjectPublicationNamespace
                | ObjectType::ObjectPublicationRel => $prefix,
            }
        }
    };
}

verbs!(drop, "drop");
verbs!(alter, "alter");
verbs!(create, "create");

/// Whether defining objects of this kind reaches further than one database's structure: code that the gateway cannot
/// see into, other servers, roles, the server as a whole.
pub(super) fn administers(kind: ObjectType) -> bool {
    matches!(
        kind,
        ObjectType::ObjectAccessMethod
            | ObjectType::ObjectCast
            | ObjectType::ObjectConversion
            | ObjectType::ObjectDatabase
            | ObjectType::ObjectEventTrigger
            | ObjectType::ObjectExtension
            | ObjectType::ObjectFdw
            | ObjectType::ObjectForeignServer
            | ObjectType::ObjectForeignTable
            | ObjectType::ObjectLanguage
            | ObjectType::ObjectLargeobject
            | ObjectType::ObjectOpclass
            | ObjectType::ObjectOpfamily
            | ObjectType::ObjectOperator
            | ObjectType::ObjectParameterAcl
            | ObjectType::ObjectPolicy
            | ObjectType::ObjectPublication
            | ObjectType::ObjectRole
            | ObjectType::ObjectSubscription
            | ObjectType::ObjectTablespace
            | ObjectType::ObjectTransform
            | ObjectType::ObjectTsparser
            | ObjectType::ObjectTstemplate
            | ObjectType::ObjectUserMapping
            | ObjectType::Undefined
    )
}
