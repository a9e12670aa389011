//! Every limit that no setting changes, by name (promise 6). Limits that an administrator may set have their default here
//! and their key in `crates/config`. Units are the last word of the name.

/// A label's length.
pub const LABEL_BYTES_MAX: usize = 128;
/// A target's name.
pub const TARGET_NAME_BYTES_MAX: usize = 63;

/// PostgreSQL startup packet (the server's own MAX_STARTUP_PACKET_LENGTH).
pub const PG_STARTUP_BYTES_MAX: usize = 10_000;
/// A message from a client before it has proven an identity.
pub const PG_PREAUTH_MESSAGE_BYTES_MAX: usize = 16 * 1024;
/// A message from a client that can only be small (Describe, Execute, Close, Sync; the server's own PQ_SMALL_MESSAGE_LIMIT).
pub const PG_SMALL_MESSAGE_BYTES_MAX: usize = 10_000;
/// Everything that a target sends until it is ready for the first query.
pub const PG_TARGET_LOGIN_BYTES_MAX: usize = 256 * 1024;
/// A message from a client that must be held whole to be understood (Query, Parse, Bind).
pub const PG_CLIENT_MESSAGE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// A message of the target that must be held whole (everything but rows and COPY data).
pub const PG_SERVER_CONTROL_BYTES_MAX: usize = 1024 * 1024;
/// What is kept of the empty buffers of an idle session, each; what was larger is given back.
pub const BUFFER_KEPT_BYTES: usize = 2 * 1024;
/// A message either side may send at all (PostgreSQL's own limit is 1 GiB).
pub const PG_MESSAGE_BYTES_MAX: usize = 0x3fff_ffff;
/// What of one row is held: what passes before its last masked column, a value that its mask looks at, all that content
/// rules look into.
pub const PG_MASKED_ROW_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Prepared statements of one session.
pub const PG_STATEMENTS_MAX: usize = 20_000;
/// Portals of one session.
pub const PG_PORTALS_MAX: usize = 20_000;
/// Bytes of the texts of one session's prepared statements, and of the parameters of its portals.
pub const PG_NAMED_BYTES_MAX: usize = 128 * 1024 * 1024;
/// Frames of one client that the target has not yet answered.
pub const PG_PIPELINE_FRAMES_MAX: usize = 65_536;
/// SCRAM iterations that are accepted from a target; more is an attack on our CPU.
pub const SCRAM_ITERATIONS_MAX: u32 = 600_000;
/// SCRAM iterations of our own verifiers. Tokens carry 256 random bits, so RFC 7677's minimum is enough.
pub const SCRAM_ITERATIONS: u32 = 4_096;
/// A nonce in a SCRAM message.
pub const SCRAM_NONCE_BYTES_MAX: usize = 1_024;
/// A salt that is accepted from a target.
pub const SCRAM_SALT_BYTES_MAX: usize = 1_024;

/// A statement that is analysed; a longer one counts as unparsable.
pub const SQL_STATEMENT_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Nesting of a statement that is analysed.
pub const SQL_DEPTH_MAX: usize = 512;
/// Nesting of a tree of the server's catalog that is read; a level of SQL takes several.
pub const SQL_TREE_DEPTH_MAX: usize = 4_096;
/// Words and operators in a row that could nest into each other (`1+1+…`); more counts as too deep.
pub const SQL_CHAIN_MAX: usize = 20_000;

/// Brackets within brackets of a policy.
pub const POLICY_DEPTH_MAX: usize = 64;
/// Words and signs of a policy without a comma between them, in the brackets around them too: they could nest into each other.
/// Loading takes time in the square of it.
pub const POLICY_CHAIN_MAX: usize = 1_000;
/// Words, signs and constants of one text; the tree takes some hundred bytes for each.
pub const SQL_TOKENS_MAX: usize = 300_000;
/// Statements in one Query message.
pub const SQL_STATEMENTS_MAX: usize = 10_000;
/// Rounds of the fixpoint for a recursive query.
pub const SQL_FIXPOINT_ROUNDS_MAX: usize = 16;
/// Columns of one result; a server refuses tuples that are wider. What has more counts as of unknown columns.
pub const SQL_COLUMNS_MAX: usize = 1_664;
/// Names that are compared, or columns that are passed over, in one step of the analysis of a statement.
pub const SQL_COMPARISONS_PER_STEP: usize = 64;
/// What it counts to parse a statement in the code of a function: as many steps as take about that long.
pub const SQL_STEPS_PER_PARSE: usize = 200;
/// Steps of the analysis of one statement: an expression, a relation, a column that is copied.
pub const SQL_ANALYSIS_STEPS_MAX: usize = 400_000;
/// What a statement may make of a stored value of 256 bytes, in estimate, where a labelled value is part of it; values of a
/// gigabyte make it fail.
pub const SQL_GROWTH_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Views in views.
pub const SQL_VIEW_DEPTH_MAX: usize = 32;
/// Different values that an identity may compare a labelled column with in a window, by default.
pub const INFER_PROBES: usize = 20;
/// That window, by default.
pub const INFER_WINDOW_MS: u64 = 60 * 60 * 1_000;
/// The most that may be set: each is kept as a digest.
pub const INFER_PROBES_MAX: u64 = 1_000;
/// Values that go into each answer of an aggregate over a labelled column, and into the difference with earlier ones, by default.
pub const INFER_GROUP_MIN: usize = 10;
/// Different sets of rows over which an identity aggregates one column in a window: each new one is compared with all.
pub const INFER_SETS_MAX: usize = 16;
/// Groups in the answers about the sizes of an aggregate's groups.
pub const INFER_GROUPS_MAX: usize = 10_000;
/// Columns that identities compare with values, counted for each identity, of which is kept which values these were.
pub const INFER_COLUMNS_MAX: usize = 10_000;
/// Groups of aggregates that are kept to compare later ones with, of all identities together.
pub const INFER_GROUPS_KEPT_MAX: usize = 4_000_000;
/// Comparisons of one column before it is an alarm that most of them found nothing.
pub const INFER_ALARM_PROBES_MIN: usize = 6;

/// Cached analyses of one target.
pub const ANALYSIS_CACHE_ENTRIES_MAX: usize = 10_000;
/// Bytes that one database's cache of analyses takes, as estimated from its texts and the columns of their results.
pub const ANALYSIS_CACHE_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Texts of one transaction that set off code which runs at its end, and are judged again before that.
pub const PG_PUT_OFF_TEXTS_MAX: usize = 256;
/// Bytes that keeping these takes, in estimate.
pub const PG_PUT_OFF_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Bytes of the search paths that are known by a number, of one target's sessions on one database, in estimate.
pub const SEARCH_PATHS_BYTES_MAX: usize = 8 * 1024 * 1024;
/// The first OID of what PostgreSQL does not bring along (`FirstNormalObjectId`): objects with a lower one are the server's own.
pub const PG_FIRST_USER_OID: u32 = 16_384;
/// Databases whose catalog is kept although no session is on them.
pub const PG_DATABASES_KEPT: usize = 64;
/// Bytes of a statement's text and of the catalog's names that are searched for the names of its result's columns; what is not
/// found by then is hidden.
pub const PG_TITLE_SEARCH_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Relations in a catalog snapshot; a database with more counts as unknown.
pub const CATALOG_RELATIONS_MAX: usize = 200_000;
/// Rows in the answers that make a catalog snapshot.
pub const CATALOG_ROWS_MAX: usize = 5_000_000;
/// Bytes in the answers that make a catalog snapshot.
pub const CATALOG_BYTES_MAX: usize = 512 * 1024 * 1024;
/// A catalog snapshot is asked about again once it is this old.
pub const CATALOG_AGE_MS_MAX: i64 = 500;
/// How long an answer is held back while it is not known under which definitions it was made.
pub const CATALOG_DOUBT_MS_MAX: i64 = 5_000;
/// The same of an error in a transaction of the client's, in which the session cannot ask itself.
pub const CATALOG_DOUBT_FAILED_MS_MAX: i64 = 1_000;
/// How often is looked, in the meantime, whether another session found out.
pub const CATALOG_DOUBT_LOOK_MS: u64 = 25;
/// How often a statement that runs for long is judged again by what became known meanwhile.
pub const CATALOG_CATCH_UP_MS: u64 = 250;
/// Bytes of answers that one session holds back; with more, the target is not read.
pub const CATALOG_DOUBT_BYTES_MAX: usize = 8 * 1024 * 1024;
/// States of a catalog between alterations that are kept for statements which run across them.
pub const ALTERATION_STATES_MAX: usize = 16;
/// Bytes that these states take together, as estimated; the latest is kept whatever its size.
pub const ALTERATION_STATES_BYTES_MAX: usize = 128 * 1024 * 1024;
/// A session that was idle for so long lets go of what it knows of the catalog.
pub const CATALOG_REST_MS: u64 = 30_000;
/// How long a target may still be at what a session sent that went away.
pub const ALTERATION_LINGER_MS: i64 = 3_000;

/// Bytes read from a socket at once.
pub const READ_BUFFER_BYTES: usize = 32 * 1024;

/// Passwords of one source, or for one user, that are compared at once as long as few were wrong; else it is one.
pub const GUESSES_OPEN_MAX: u32 = 64;
/// Refused logins of one source that are put on record one by one within [`REFUSALS_WINDOW_MS`]; of others it is the number.
pub const REFUSALS_NOTED_PER_SOURCE_MAX: u32 = 300;
/// The same of all sources.
pub const REFUSALS_NOTED_MAX: u32 = 3_000;
/// The time in which refused logins are counted for the record.
pub const REFUSALS_WINDOW_MS: i64 = 60_000;
/// Refused logins of one source for one user within [`API_LOGIN_WINDOW_MS`] that cost nothing: people mistype.
pub const LOGIN_FAILURES_FREE: u32 = 3;
/// Refused logins from one source for whomever that are answered at once: an office has many people who mistype.
pub const LOGIN_FAILURES_FREE_WIDE: u32 = 30;
/// How many sources' worth of refusals a /48 of IPv6 has: it holds 65,536 sources, and may be one person's.
pub const SITE_FAILURES: u32 = 10;
/// How many sources' worth of places it has.
pub const SITE_PLACES: usize = 4;
/// Late answers to refused logins that one source waits for at once; the next is not late, and what comes then waits for its turn.
pub const LATE_ANSWERS_PER_SOURCE_MAX: usize = 64;
/// Late answers in all.
pub const LATE_ANSWERS_MAX: usize = 512;
/// Time between two connections or proofs of such a source that are looked at.
pub const LOGIN_TURN_MS: i64 = 5;
/// The longest that one waits for its turn; what would wait longer is turned away.
pub const LOGIN_TURN_WAIT_MS_MAX: i64 = 2_000;
/// How late the API says that a source has to wait.
pub const API_LATE_MS: u64 = 500;
/// How late the next refusal comes after those, doubled with each further one.
pub const LOGIN_DELAY_MS: u64 = 250;
/// The latest that a refusal comes.
pub const LOGIN_DELAY_MS_MAX: u64 = 2_000;
/// Time from accept to a proven identity, in all.
pub const LOGIN_MS_MAX: u64 = 30_000;
/// Time to dial a target and log in.
pub const DIAL_MS_MAX: u64 = 15_000;
/// A peer that takes no bytes for this long while some wait for it is gone.
pub const WRITE_STALL_MS_MAX: u64 = 30 * 60 * 1_000;
/// How long a stopping gateway waits for sessions to end.
pub const DRAIN_MS_MAX: u64 = 20_000;
/// How often a held statement's client is told that it waits.
pub const HOLD_NOTICE_MS: u64 = 10_000;
/// How often live sessions are judged again.
pub const REJUDGE_MS: u64 = 250;

/// Connections that have not proven an identity, from one address.
pub const PREAUTH_PER_SOURCE_MAX: usize = 128;
/// Connections that have not proven an identity, in all.
pub const PREAUTH_MAX: usize = 1_024;
/// Sessions in all.
pub const SESSIONS_MAX: usize = 10_000;
/// Statements held at once.
pub const HOLDS_MAX: usize = 10_000;

/// A recorded event in its encoded form; larger ones are cut and say so.
pub const RECORD_EVENT_BYTES_MAX: usize = 1024 * 1024;
/// Result bytes recorded of one request, by default.
pub const RECORD_RESULT_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Parameter bytes recorded of one request; the digest covers all of them.
pub const RECORD_PARAMETER_BYTES_MAX: usize = 64 * 1024;

/// Tokens of one user that are neither expired nor revoked; a SCRAM login may test its proof against each.
pub const TOKENS_PER_USER_MAX: usize = 2_000;
/// Expired or revoked tokens of one user that a SCRAM login still recognises, to say why it is refused.
pub const TOKENS_DEAD_PER_USER_MAX: usize = 64;
/// A user's or a group's name.
pub const NAME_BYTES_MAX: usize = 256;
/// Groups of one identity.
pub const GROUPS_MAX: usize = 256;
/// People that are known of all sources, and names that removed ones left behind.
pub const PEOPLE_MAX: usize = 250_000;
/// Groups that are known of all sources.
pub const PEOPLE_GROUPS_MAX: usize = 20_000;
/// A name to show, or a source's own name for somebody.
pub const PERSON_TEXT_BYTES_MAX: usize = 1_024;
/// Characters of a password that is set.
pub const PASSWORD_CHARS_MIN: usize = 12;
/// A password.
pub const PASSWORD_BYTES_MAX: usize = 1_024;
/// Memory that one comparison of a password fills (Argon2id; OWASP's first choice together with the passes below).
pub const PASSWORD_MEMORY_KIB: u32 = 19 * 1024;
/// How often it goes through that memory.
pub const PASSWORD_PASSES: u32 = 2;
/// The memory that a stored verifier may ask for.
pub const PASSWORD_MEMORY_KIB_MAX: u32 = 256 * 1024;
/// Wrong passwords for one user from one source that cost nothing but themselves: people mistype.
pub const GUESSES_FREE: u32 = 5;
/// Wrong passwords from one source for whomever, and for one user from wherever, that cost nothing.
pub const GUESSES_FREE_WIDE: u32 = 20;
/// How long the next guess is refused unseen after those; doubled with each further one.
pub const GUESS_WAIT_MS: i64 = 1_000;
/// The longest that a source waits, for one user or for all.
pub const GUESS_WAIT_MS_MAX: i64 = 60_000;
/// The longest that a user waits at a source where they never logged in, because of guesses from elsewhere.
pub const GUESS_USER_WAIT_MS_MAX: i64 = 10_000;
/// Wrong passwords are forgotten after so long without another.
pub const GUESS_WINDOW_MS: i64 = 15 * 60 * 1_000;
/// Sources, users, and pairs of both, whose wrong passwords are counted.
pub const GUESSES_KEPT_MAX: usize = 10_000;
/// Comparisons of passwords that wait for their turn; with more, people are asked to try again.
pub const PASSWORD_QUEUE_MAX: usize = 256;
/// How long one waits for its turn.
pub const PASSWORD_QUEUE_MS_MAX: u64 = 10_000;
/// How long a comparison that fitted is a proof. What is made of it has an end of its own.
pub const PASSWORD_PROOF_MS: i64 = 12 * 60 * 60 * 1_000;
/// Acts of administrators that wait to be recorded; more are not done.
pub const ACTS_WAITING_MAX: usize = 100_000;
/// People or groups that one act names; further ones are counted.
pub const ACT_NAMES_MAX: usize = 100;
/// Parties that one identity acts for.
pub const ON_BEHALF_OF_MAX: usize = 8;
/// A JSON Web Token, as a whole.
pub const JWT_BYTES_MAX: usize = 16 * 1024;
/// The name of a key in a JSON Web Token.
pub const JWT_KID_BYTES_MAX: usize = 512;
/// The `sub` of a JSON Web Token.
pub const JWT_SUBJECT_BYTES_MAX: usize = 1_024;
/// How far in the future a JSON Web Token may have been made or begin to count, in milliseconds: clocks differ. There is no
/// such grace for its end.
pub const JWT_SKEW_MS_MAX: i64 = 60 * 1_000;
/// Steps of a path to a claim.
pub const CLAIM_DEPTH_MAX: usize = 8;
/// Keys that an issuer publishes.
pub const JWKS_KEYS_MAX: usize = 64;
/// The shortest RSA key of an issuer (RFC 7518, 3.3: 2048 bits).
pub const JWK_RSA_BYTES_MIN: usize = 256;
/// The longest: a longer one only takes time to verify with.
pub const JWK_RSA_BYTES_MAX: usize = 1_024;
/// Its exponent.
pub const JWK_RSA_EXPONENT_BYTES_MAX: usize = 4;
/// Time for a connection to an identity provider.
pub const PROVIDER_CONNECT_MS_MAX: u64 = 3_000;
/// Time for one whole answer of an identity provider.
pub const PROVIDER_ANSWER_MS_MAX: u64 = 5_000;
/// How long a connection to an identity provider is kept for the next question.
pub const PROVIDER_IDLE_MS_MAX: u64 = 1_000;
/// One answer of an identity provider.
pub const PROVIDER_DOCUMENT_BYTES_MAX: usize = 512 * 1024;
/// How often an issuer's keys are read again while it answers.
pub const JWKS_REFRESH_MS: u64 = 5 * 60 * 1_000;
/// How often reading them is tried again while it does not.
pub const JWKS_RETRY_MS: u64 = 10_000;
/// How long keys count while the issuer does not answer.
pub const JWKS_STALE_MS_MAX: u64 = 60 * 60 * 1_000;
/// Times that an issuer is asked at once because a token names a key that is not known: anybody can write such a token.
pub const JWKS_ASKS_MAX: u64 = 3;
/// How long it takes until it may be asked once more for that reason.
pub const JWKS_ASK_MS: u64 = 10_000;
/// Tokens of identity providers that sessions rest on, or that were shown a moment ago.
pub const PROOFS_MAX: usize = 100_000;
/// How often the same use of a token at the API, from one place, is put on record.
pub const TOKEN_USE_MS: i64 = 60 * 1_000;
/// Uses that are remembered for that; of others each is recorded.
pub const TOKEN_USES_MAX: usize = 10_000;
/// Targets that a token may be limited to.
pub const TOKEN_TARGETS_MAX: usize = 256;
/// The whole text of a token.
pub const TOKEN_BYTES_MAX: usize = 128;
/// How long the state of tokens may be unreadable before live sessions count as unproven.
pub const TOKEN_WATCH_STALE_MS_MAX: u64 = 10_000;
/// Entries that wait to be written to the session index; further ones are dropped and counted.
pub const SESSION_INDEX_QUEUE_MAX: usize = 40_000;
/// Rows of one page of a listing.
pub const LIST_PAGE_MAX: usize = 1_000;
/// Statement text kept with an approval; the digest covers all of it.
pub const APPROVAL_STATEMENT_BYTES_MAX: usize = 256 * 1024;
/// A reason given with a decision.
pub const REASON_BYTES_MAX: usize = 2_000;
/// People that one policy may ask to approve.
pub const QUORUM_MAX: u32 = 32;

/// Connections to the HTTP API at once.
pub const API_CONNECTIONS_MAX: usize = 1_024;
/// Connections to the HTTP API from one address, which may be an office's: browsers keep theirs.
pub const API_CONNECTIONS_PER_SOURCE_MAX: usize = 256;
/// Body of a request to the HTTP API.
pub const API_BODY_BYTES_MAX: usize = 64 * 1024;
/// How long after an identity provider vouched for a login it is asked again, where the configuration says nothing.
pub const RECHECK_MS: u64 = 15 * 60 * 1_000;
/// How much longer what it last said counts while it cannot be asked.
pub const RECHECK_GRACE_MS: u64 = 60 * 60 * 1_000;
/// Logins that are asked about at once.
pub const RECHECKS_AT_ONCE: usize = 16;
/// How long it is tried to have a provider take back what a login was refreshed with, after the login's end.
pub const GIVE_BACK_MS_MAX: i64 = 60 * 60 * 1_000;
/// Body of a request of a directory: a group of ten thousand members, written at length.
pub const SCIM_BODY_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Members of a group that an answer to a directory shows.
pub const SCIM_MEMBERS_SHOWN_MAX: usize = 20_000;
/// The secret of a directory.
pub const SCIM_SECRET_CHARS_MIN: usize = 32;
/// Headers of a request to the HTTP API.
pub const API_HEADER_BYTES_MAX: usize = 32 * 1024;
/// Time to send the headers of a request, and for a TLS handshake.
pub const API_HEADER_MS_MAX: u64 = 10_000;
/// How long a connection to the API may be open with nothing asked.
pub const API_IDLE_MS_MAX: u64 = 60_000;
/// Time for the API to answer one request (an event stream's first byte).
pub const API_ANSWER_MS_MAX: u64 = 30_000;
/// Refused logins of one source within the window below before it has to wait.
pub const API_LOGIN_FAILURES_MAX: u32 = 30;
/// The window in which refused logins are counted.
pub const API_LOGIN_WINDOW_MS: i64 = 60_000;
/// Sources whose refused logins are remembered at once.
pub const API_LOGIN_SOURCES_MAX: usize = 10_000;
/// Tokens of masked data that one request reads back.
pub const DETOKENIZE_TOKENS_MAX: usize = 100;
/// Tokens of masked data that one user has read back within the window below.
pub const DETOKENIZE_WINDOW_TOKENS_MAX: usize = 1_000;
/// The window in which tokens that are read back are counted.
pub const DETOKENIZE_WINDOW_MS: i64 = 60_000;
/// Users whose count is kept at once; others wait.
pub const DETOKENIZE_USERS_MAX: usize = 10_000;

/// Bytes by which a mask pads one value so that it keeps its type: `char(n)`, and the bits of `bit(n)`.
pub const MASK_PADDING_BYTES_MAX: usize = 4 * 1024;
/// Bytes by which all masks of a row may make it longer; further ones become NULL.
pub const MASK_ROW_GROWTH_BYTES_MAX: usize = 1024 * 1024;
/// The masked form of one composite value; a longer one becomes NULL.
pub const MASK_COMPOSITE_BYTES_MAX: usize = 64 * 1024;
/// Domains and composites in one another that a mask imitates; deeper ones become NULL.
pub const MASK_TYPE_DEPTH_MAX: usize = 16;
/// Parts of one composite value, at all depths, that a mask imitates; further ones become NULL.
pub const MASK_TYPE_PARTS_MAX: usize = 4 * 1024;
/// Parts of one type, at all depths, of which each has a mask of its own; a type with more is masked as a whole.
pub const MASK_DERIVED_PARTS_MAX: usize = 256;
/// Bytes by which masking its elements may make an array or a composite longer; a longer one is masked as a whole.
pub const MASK_NESTED_GROWTH_BYTES_MAX: usize = 256 * 1024;
/// The longest value that a token carries; the token of a longer one is a digest, which nobody can read again.
pub const MASK_TOKEN_VALUE_BYTES_MAX: usize = 255;
/// The longest token that is read: the longest sealed value, written as the bytes of a `bytea`.
pub const MASK_TOKEN_BYTES_MAX: usize = 1024;
/// A string in an event (names, messages, reasons); a longer one is cut and says so.
pub const RECORD_STRING_BYTES_MAX: usize = 64 * 1024;
/// Items of a list in an event.
pub const RECORD_LIST_ITEMS_MAX: usize = 65_536;
/// Certificates that a recording's writer and readers keep at a time; one that was kept no longer is written again.
pub const RECORD_CERTIFICATES_MAX: usize = 256;
/// Columns and uses that a certificate lists of one statement; the others are counted.
pub const CERTIFICATE_ITEMS_MAX: usize = 256;
/// Labelled columns that a certificate names as the origin of one column or use.
pub const CERTIFICATE_ORIGINS_MAX: usize = 16;
/// Bytes of names in a certificate, over which nothing more is listed.
pub const CERTIFICATE_BYTES_MAX: usize = 32 * 1024;
/// Row bytes in one event; a larger piece is split over several.
pub const RECORD_PIECE_BYTES_MAX: usize = 256 * 1024;
/// Events of one frame in their encoded form, before compression.
pub const RECORD_FRAME_BYTES_MAX: usize = 8 * 1024 * 1024;
/// A frame that holds this much takes no further event: what is appended at once goes on in another frame.
pub const RECORD_FRAME_BYTES_FULL: usize = 4 * 1024 * 1024;
/// Frames shorter than this are not compressed: it would cost more time than it saves bytes.
pub const RECORD_COMPRESS_BYTES_MIN: usize = 512;
/// Frames of at least this size are written as they are for a while after one of them hardly became shorter.
pub const RECORD_COMPRESS_LARGE_BYTES: usize = 16 * 1024;
/// How many large frames are written as they are before compressing one is tried again.
pub const RECORD_PLAIN_FRAMES: u32 = 15;
/// Buffers that the recorders of all sessions share.
pub const RECORD_BUFFERS_MAX: usize = 16;
/// A shared buffer that grew larger than this is given back to the system.
pub const RECORD_BUFFER_BYTES_KEPT: usize = 512 * 1024;
/// How often the Merkle log of recordings is signed at most.
pub const RECORD_CHECKPOINT_MS_MIN: i64 = 1_000;
/// How long what an open recording gained may wait for a leaf in the log of recordings, which protects it from being cut off.
pub const RECORD_PROGRESS_MS: i64 = 10_000;
/// Frames that an open recording may gain before it gets such a leaf at once.
pub const RECORD_PROGRESS_FRAMES_MAX: u32 = 1_024;
/// Leaves that are written to the log of recordings at a time.
pub const RECORD_LEAVES_BATCH_MAX: usize = 1_024;

/// Labels of columns that data was copied to (`laundering: propagate`), in one database.
pub const LABELS_CARRIED_MAX: usize = 100_000;
/// How long such a label is kept after its relation was last known to be on its way, in milliseconds: a transaction of
/// another gateway's time may still be committed.
pub const LABEL_LINGER_MS: i64 = 10 * 60 * 1_000;

/// Bytes of a statement that does not parse which are recorded: to take the secrets out of a text it is cut into words.
pub const UNREADABLE_TEXT_BYTES_MAX: usize = 64 * 1024;

/// How far in the future a token may have been made, in milliseconds. Further, and the clock is wrong: the token would count
/// longer than whoever made it said.
pub const TOKEN_EARLY_MS_MAX: i64 = 5 * 60 * 1_000;

/// The base64 text of a SAML response.
pub const SAML_POST_BYTES_MAX: usize = 384 * 1024;
/// The XML of a SAML response, and of an assertion that was encrypted in it.
pub const SAML_MESSAGE_BYTES_MAX: usize = 256 * 1024;
/// The XML of an identity provider's metadata.
pub const SAML_METADATA_BYTES_MAX: usize = 1024 * 1024;
/// Elements within elements of a SAML document.
pub const SAML_DEPTH_MAX: usize = 32;
/// Elements, texts and comments of a SAML document.
pub const SAML_NODES_MAX: usize = 10_000;
/// Attributes of one element of a SAML document, declarations of namespaces included.
pub const SAML_ELEMENT_ATTRIBUTES_MAX: usize = 64;
/// Attributes of a SAML document.
pub const SAML_ATTRIBUTES_MAX: usize = 20_000;
/// Namespaces that are declared at one place of a SAML document.
pub const SAML_NAMESPACES_MAX: usize = 32;
/// The name of a namespace in a SAML document.
pub const SAML_NAMESPACE_BYTES_MAX: usize = 1_024;
/// The canonical form of a SAML document: it may say namespaces again that the document says once.
pub const SAML_CANONICAL_BYTES_MAX: usize = 2 * 1024 * 1024;
/// An identifier in a SAML document, and the name of a party.
pub const SAML_IDENTIFIER_BYTES_MAX: usize = 1_024;
/// Certificates for one use in a provider's metadata.
pub const SAML_CERTIFICATES_MAX: usize = 8;
/// Attributes of a person that a SAML assertion brings, and values of one of them.
pub const SAML_VALUES_MAX: usize = 2_000;
/// RelayState (SAML bindings 3.4.3).
pub const SAML_RELAY_STATE_BYTES_MAX: usize = 80;
/// How far the clock of a SAML identity provider may be off.
pub const SAML_SKEW_MS_MAX: i64 = 60_000;
/// How long after it was made a SAML assertion counts at most, whatever it says itself.
pub const SAML_ASSERTION_MS_MAX: i64 = 90 * 60 * 1_000;
/// Assertions that are remembered in memory so that each counts once; further logins are refused.
pub const SAML_USED_MAX: usize = 100_000;

/// How long somebody may take to sign in at an identity provider and come back.
pub const SIGN_IN_MS_MAX: i64 = 10 * 60 * 1_000;
/// How long a login counts, by default, and with it the tokens and browser sessions that it made.
pub const LOGIN_TTL_MS: u64 = 12 * 60 * 60 * 1_000;
/// Logins of one user that count at once; a further one ends the oldest.
pub const LOGINS_PER_USER_MAX: usize = 500;
/// How long a login that is over is remembered.
pub const LOGIN_KEPT_MS: i64 = 30 * 24 * 60 * 60 * 1_000;
/// How long a login that was asked for on the command line, or by a device, waits for a browser.
pub const LOGIN_REQUEST_MS_MAX: i64 = 10 * 60 * 1_000;
/// How long a connection waits for the browser login behind its link.
pub const LINK_MS_MAX: u64 = 5 * 60 * 1_000;
/// Logins that wait for a browser, from one address.
pub const LOGIN_REQUESTS_PER_SOURCE_MAX: usize = 1_024;
/// Logins that wait for a browser, in all.
pub const LOGIN_REQUESTS_MAX: usize = 65_536;
/// The address on this machine that a login by browser comes back to.
pub const LOGIN_REDIRECT_BYTES_MAX: usize = 256;
/// How often a device asks whether its login is confirmed.
pub const DEVICE_POLL_MS: u64 = 2_000;
/// Changes to the store that become durable together.
pub const STORE_BATCH_MAX: usize = 64;
/// How long the first of them waits for others, while these are at it.
pub const STORE_BATCH_MS_MAX: u64 = 25;
/// Changes that wait for their turn; whoever brings more waits before the queue.
pub const STORE_WAITING_MAX: usize = 1_024;
/// States of sign-ins and assertions that are remembered so that each counts once; further ones are refused.
pub const USED_ONCE_MAX: usize = 200_000;
/// How long what was used is remembered after its end, for a clock that is set back before a restart.
pub const USED_ONCE_LINGER_MS: i64 = 24 * 60 * 60 * 1_000;
/// The form that a SAML provider has a browser post, with a response of [`SAML_POST_BYTES_MAX`] in it, in the form's own encoding.
pub const SAML_FORM_BYTES_MAX: usize = 512 * 1024;
/// Connections that wait for a person with a browser, in all.
pub const LINKS_MAX: usize = 512;
/// Connections that wait for a person with a browser, from one address.
pub const LINKS_PER_SOURCE_MAX: usize = 64;
/// How often a connection that waits looks whether another gateway has heard from its person.
pub const LINK_LOOK_MS: u64 = 1_000;
