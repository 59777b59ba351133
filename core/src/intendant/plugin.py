"""What plugin authors import: base classes, what they declare, the requests they get and the answers they give.

One base class for each kind of plugin: `IntentHandler`, `Compressor`, `Tier`, `BudgetStrategy`, `Classifier`,
`Provider`, `Connector`, `Extension`, `Embedder`. A plugin subclasses one and writes one method, named by the verb
of its kind: `handle`, `compress`, `route`, `allocate`, `classify`, `complete`. See `docs/writing-a-plugin.md`.
"""

from intendant.config.addresses import (
    Addresses as Addresses,
    Resolver as Resolver,
)
from intendant.hooks.bases import (
    API_VERSION as API_VERSION,
    BudgetStrategy as BudgetStrategy,
    Classifier as Classifier,
    Compressor as Compressor,
    Embedder as Embedder,
    Extension as Extension,
    IntentHandler as IntentHandler,
    Plugin as Plugin,
    Tier as Tier,
    TierSettings as TierSettings,
    WeightedShares as WeightedShares,
    cheapest as cheapest,
)
from intendant.hooks.connectors import (
    Connector as Connector,
    ConnectorCall as ConnectorCall,
    Effect as Effect,
    LocalFiles as LocalFiles,
    operation as operation,
)
from intendant.hooks.dispatchers import (
    Dispatcher as Dispatcher,
    DispatcherHealth as DispatcherHealth,
    Runner as Runner,
    drained as drained,
)
from intendant.hooks.file_roots import (
    FileRoots as FileRoots,
    load_file as load_file,
    open_regular as open_regular,
)
from intendant.hooks.http_auth import HttpAuth as HttpAuth
from intendant.hooks.http_bodies import (
    error_in as error_in,
)
from intendant.hooks.http_errors import (
    HttpErrors as HttpErrors,
    Vendor as Vendor,
)
from intendant.hooks.http_provider import (
    HttpProvider as HttpProvider,
    HttpSettings as HttpSettings,
    answer_of as answer_of,
    batch_id_of as batch_id_of,
    patience as patience,
    sendable as sendable,
)
from intendant.hooks.listening import (
    LOOPBACK_NAMES as LOOPBACK_NAMES,
    listen_at as listen_at,
)
from intendant.hooks.network import (
    Fetched as Fetched,
    HttpAsk as HttpAsk,
    NetworkConnector as NetworkConnector,
    NetworkSettings as NetworkSettings,
    check_url as check_url,
    guarded_client as guarded_client,
    shown as shown,
)
from intendant.hooks.providers import (
    BatchAnswers as BatchAnswers,
    Hold as Hold,
    Provider as Provider,
    StreamMeter as StreamMeter,
    TokenCounting as TokenCounting,
)
from intendant.hooks.reply_text import (
    ThoughtSplitter as ThoughtSplitter,
    json_in as json_in,
    length_hint as length_hint,
    why_no_json as why_no_json,
)
from intendant.hooks.reported import (
    reported_tokens as reported_tokens,
)
from intendant.hooks.sharing import share as share
from intendant.hooks.specs import hookimpl as hookimpl
from intendant.hooks.table_engine import (
    TableEngine as TableEngine,
    TableUnfit as TableUnfit,
    literal as literal,
    open_parquet as open_parquet,
    open_table as open_table,
    quoted as quoted,
)
from intendant.hooks.webhook_signatures import (
    standard_signature as standard_signature,
    webhook_key as webhook_key,
)
from intendant.hooks.wrapping import (
    unwrapped_value as unwrapped_value,
    wrapped_schema as wrapped_schema,
)
from intendant.model.errors import (
    AddressRefused as AddressRefused,
    ConnectorError as ConnectorError,
    ContextOverflow as ContextOverflow,
    DuplicatePluginError as DuplicatePluginError,
    ExpressionFailed as ExpressionFailed,
    ModelRefused as ModelRefused,
    NoHandlerError as NoHandlerError,
    OutputInvalid as OutputInvalid,
    PluginError as PluginError,
    PluginLoadError as PluginLoadError,
    PossiblySent as PossiblySent,
    ProviderError as ProviderError,
    ReferenceFailed as ReferenceFailed,
    RequestAdapted as RequestAdapted,
    SecretMissing as SecretMissing,
    StepError as StepError,
    StepTimeout as StepTimeout,
)
from intendant.model.fault_words import fault_text as fault_text
from intendant.model.record_access import (
    Records as Records,
    RecordSource as RecordSource,
    RecordStream as RecordStream,
    RecordWriter as RecordWriter,
    Table as Table,
    is_reference as is_reference,
)
from intendant.model.requests import (
    BudgetLine as BudgetLine,
    BudgetRequest as BudgetRequest,
    CacheMark as CacheMark,
    ClassifyRequest as ClassifyRequest,
    CompressionPolicy as CompressionPolicy,
    CompressRequest as CompressRequest,
    Image as Image,
    IntentSpec as IntentSpec,
    Message as Message,
    ModelClient as ModelClient,
    ModelOffer as ModelOffer,
    ModelRequest as ModelRequest,
    OfferedModel as OfferedModel,
    Operation as Operation,
    Options as Options,
    PromptReuse as PromptReuse,
    RouteRequest as RouteRequest,
    StepRequest as StepRequest,
    Tool as Tool,
)
from intendant.model.results import (
    Allocation as Allocation,
    Classification as Classification,
    Compression as Compression,
    ModelReply as ModelReply,
    Route as Route,
    Signal as Signal,
    StepResult as StepResult,
    ToolCall as ToolCall,
    Usage as Usage,
)
from intendant.model.workflow import (
    Input as Input,
    Json as Json,
    Retry as Retry,
    Step as Step,
)
from intendant.pilot.asking import (
    ANSWER_RULES as ANSWER_RULES,
    ModelAnswer as ModelAnswer,
    ModelAnswers as ModelAnswers,
    ask as ask,
    ask_each as ask_each,
    compression_notes as compression_notes,
    marked as marked,
    prompt_clash as prompt_clash,
)
from intendant.pilot.conditions import (
    Expression as Expression,
    condition_faults as condition_faults,
)
from intendant.pilot.sandbox import (
    Bounds as Bounds,
    bounded as bounded,
    run_async as run_async,
)
from intendant.pilot.schemas import Schema as Schema
from intendant.planning.compression import to_text as to_text
from intendant.planning.evaluation import (
    Answer as Answer,
    Evaluation as Evaluation,
    LabelledStep as LabelledStep,
    evaluate as evaluate,
)
from intendant.spending.caching import (
    CachePrices as CachePrices,
    rewriting_pays as rewriting_pays,
    turns_to_pay as turns_to_pay,
)
from intendant.spending.tokens import (
    answer_tokens as answer_tokens,
    estimate_tokens as estimate_tokens,
)
from intendant.text.content_kinds import kind_of as kind_of
from intendant.text.dates import (
    FoundDate as FoundDate,
    dates_in as dates_in,
    day_of as day_of,
)
from intendant.text.decoding import (
    codec_of as codec_of,
    decode_text as decode_text,
    encoding_of as encoding_of,
)
from intendant.text.facts import facts_in as facts_in
from intendant.text.html_text import (
    charset_of as charset_of,
    strip_html as strip_html,
)
from intendant.text.mails import (
    read_mail as read_mail,
    read_mbox as read_mbox,
)
from intendant.text.moments import datetime_of as datetime_of
from intendant.text.numbers import (
    FoundNumber as FoundNumber,
    numbers_in as numbers_in,
)
from intendant.text.units import (
    TextUnit as TextUnit,
    TextUnits as TextUnits,
    text_units as text_units,
)
from intendant.text.watch import (
    UNWATCHED as UNWATCHED,
    Watch as Watch,
)
