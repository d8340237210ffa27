"""Everyday English, once: what a workspace need not declare. Every word is in its singular, in small letters.

A name of the workspace always counts before a synonym of this file.
"""

from __future__ import annotations

# What people say instead of a word of a name. The right side is looked up among the names, so that where there is no
# such name the word stays unknown.
SYNONYMS = {
    "latency": "duration", "response time": "duration", "run time": "duration", "runtime": "duration",
    "failure": "error", "fail rate": "error rate", "success ratio": "success rate",
    "error ratio": "error rate", "err": "error",
    "cost": "spend", "spent": "spend", "spending": "spend", "expense": "spend", "costing": "spend",
    "run": "flow", "trace": "flow", "llm call": "model call", "invocation": "call",
    "processor": "cpu", "ram": "memory", "mem": "memory", "traffic": "network",
    "storage": "disk", "machine": "host", "team member": "user", "business": "domain",
}  # fmt: skip

# One spelling for each way to make one number of many.
AGGREGATES = {
    "average": "mean", "avg": "mean", "sum": "total", "median": "p50", "50th percentile": "p50", "p 50": "p50",
    "90th percentile": "p90", "95th percentile": "p95", "percentile 95": "p95", "p 95": "p95", "99th percentile": "p99",
    "p 99": "p99", "maximum": "max", "peak": "max", "minimum": "min", "different": "unique", "distinct": "unique",
}  # fmt: skip
AGGREGATE_WORDS = {"mean", "total", "max", "min", "p50", "p75", "p90", "p95", "p99", "unique"}

# Adjectives that carry a metric: its phrase among the names, and the column and direction that flows are sorted by.
ADJECTIVES: dict[str, tuple[str, str, bool]] = {
    "slowest": ("p95 {dim} duration", "duration_ms", True), "longest": ("p95 {dim} duration", "duration_ms", True),
    "slower": ("p95 {dim} duration", "duration_ms", True), "slow": ("p95 {dim} duration", "duration_ms", True),
    "fastest": ("p95 {dim} duration", "duration_ms", False), "quickest": ("p95 {dim} duration", "duration_ms", False),
    "shortest": ("p95 {dim} duration", "duration_ms", False), "faster": ("p95 {dim} duration", "duration_ms", False),
    "most expensive": ("spend", "cost_usd", True), "costliest": ("spend", "cost_usd", True),
    "most costly": ("spend", "cost_usd", True),
    "priciest": ("spend", "cost_usd", True), "dearest": ("spend", "cost_usd", True),
    "cost the most": ("spend", "cost_usd", True), "spend the most": ("spend", "cost_usd", True),
    "more expensive": ("spend", "cost_usd", True), "expensive": ("spend", "cost_usd", True),
    "cheapest": ("spend", "cost_usd", False),
    "least expensive": ("spend", "cost_usd", False), "cheaper": ("spend", "cost_usd", False),
    "busiest": ("flow", "", True), "most active": ("flow", "", True),
    "most used": ("{dim} call", "", True), "most called": ("{dim} call", "", True),
    "most often used": ("{dim} call", "", True), "used most": ("{dim} call", "", True),
    "used the most": ("{dim} call", "", True), "used most often": ("{dim} call", "", True),
    "called most": ("{dim} call", "", True), "called the most": ("{dim} call", "", True),
    "called most often": ("{dim} call", "", True), "most often called": ("{dim} call", "", True),
    "most frequently used": ("{dim} call", "", True), "most frequently called": ("{dim} call", "", True),
    "most popular": ("{dim} call", "", True),
    "latest": ("", "time", True), "newest": ("", "time", True), "most recent": ("", "time", True),
    "last": ("", "time", True), "oldest": ("", "time", False), "earliest": ("", "time", False),
}  # fmt: skip
COMPARATIVES = {"slower", "slow", "faster", "more expensive", "expensive", "cheaper"}

# Columns by which flows can be sorted, as people call them: "flows with the most tokens".
SORTS = {"token": "tokens", "spend": "cost_usd", "error": "errors"}

# Phrases that steer, by what they do. The longest match counts.
STEERS: dict[str, tuple[str, ...]] = {
    "nothing": ("good morning", "good afternoon", "good evening", "hi", "hello", "hey", "thank", "thank you",
                "distribution of", "break down", "breakdown", "breakdown of", "how full", "how high", "how low",
                "so far", "this machine", "this host", "this server", "would like", "would like to see",
                "like to see", "i like", "much money", "pls", "plz", "can someone", "could someone",
                "can anyone", "could anyone", "possible to get", "possible to see", "possible to know",
                "thank you very much", "many thank"),
    "through": ("because of", "due to"),
    "where": ("where", "whose"),
    "unsaid": ("not only", "not just", "not all", "not every", "not always", "not yet", "no longer"),
    "by": ("by", "per", "for each", "for every", "each", "every", "grouped by", "group by", "split by", "across",
           "broken down by", "breakdown by", "among", "between", "per each", "by each"),
    "sorted": ("sorted by", "ranked by", "ordered by"),
    "why": ("why", "how come", "explain", "what caused", "what is causing", "what cause", "what drove", "what drive",
            "what is driving", "what is behind", "reason for", "reason behind", "root cause of", "root cause for",
            "cause of", "what explain", "what made", "what was behind"),
    "forecast": ("forecast", "predict", "prediction", "predicted", "projected", "projection", "project", "expected",
                 "expect", "outlook", "will", "going to be"),
    "out": ("run out", "run out of", "running out", "running out of", "be full", "full", "exhausted", "used up",
            "be used up", "reach it limit", "reach the limit", "hit it limit", "hit the limit", "run full"),
    "reach": ("reach", "hit", "get to", "exceed", "cross"),
    "when": ("when", "how long until", "how long till", "how soon"),
    "list": ("list", "show", "show me", "find", "display", "give me", "see", "show all", "list all"),
    "count": ("how many", "number of", "count of", "count", "amount of", "quantity of"),
    "often": ("how often",),
    "fail": ("failed", "fail", "failing", "unsuccessful", "with error", "that error"),
    "doing": ("doing", "how do", "performing", "how did", "how does"),
    "changed": ("what changed", "what has changed", "what change", "what is different", "what is new", "what happened",
                "what went wrong", "what is going on"),
    "resources": ("resource usage", "resource consumption", "resource use", "usage of resource"),
    "there": ("are there", "there", "do we have", "have", "exist", "seen", "known"),
    "except": ("except", "excluding", "exclude", "without", "except for", "other than", "but not", "not from", "not",
               "is not", "are not", "not of", "not for", "not by", "apart from", "ignoring", "minus", "!=", "non",
               "not counting", "not including", "leaving out", "leaving aside", "outside", "outside of",
               "everything but", "everywhere but", "all but"),
    "and": ("and", "or", ",", "&", "plus", "as well as", "nor"),
    "vs": ("vs", "versus", "against"),
    "compare": ("compare", "comparison", "compared", "comparing", "compare to", "compared to", "compared with"),
    "is": ("is", "are", "=", ":", "==", "equal", "named", "called", "was"),
    "contains": ("contain", "containing", "include", "including", "like"),
    "top": ("top",),
    "most": ("most", "highest", "largest", "biggest", "greatest", "the most", "most often", "worst"),
    "least": ("lowest", "least", "fewest", "smallest", "bottom", "best"),
    "which": ("which", "what"),
    "wise": ("wise",),
    "share": ("share of", "percentage of", "percent of", "fraction of", "proportion of"),
    "changes": ("rise", "rose", "risen", "rising", "increase", "increased", "increasing", "go up", "went up", "gone up",
                "going up", "up", "higher", "high", "more", "jump", "jumped", "spike", "spiked", "climb", "climbed",
                "grow", "grew", "grown", "surge", "surged", "fall", "fell", "fallen", "falling", "drop", "dropped",
                "decrease", "decreased", "go down", "went down", "down", "lower", "low", "fewer", "less", "decline",
                "declined", "change", "changed", "shrink", "shrank", "dip", "get", "got", "become", "became",
                "difference", "so many", "so few"),
}  # fmt: skip

# Words that add nothing to a question.
NOISE = set(
    "the a an of for in on at to with from we our us i me my you your please tell could can would were be been do "
    "did does has had it its that these those much all right now currently current present just being am let know "
    "want need use used using usage burn burned burnt consumed "
    "during within how give happened happen happening into going quite look "
    "went make made take took having only any ran executed processed so far and overall".split()
)

# Words that ask for something that data does not say, and what to answer.
REFUSED: dict[str, str] = dict.fromkeys(
    "delete drop restart stop start kill send email alert notify create rename approve write build fix translate "
    "remove insert update truncate deploy rollback cancel schedule buy".split(),
    "questions are answered here; nothing is changed, sent or made",
) | dict.fromkeys(
    "who whom whose should good bad better best worst ok fine normal healthy responsible blame fault trust believe "
    "opinion recommend advise".split(),
    "that is a judgement, and data holds none",
)
DEFINITIONS = ("what is a ", "what is an ", "what does it mean", "meaning of", "definition of", "how do you ")

# English words that are one letter away from a name and mean something else: never taken for a mistyped one.
NEVER_MISTYPED = set(
    "your hour hours four tour pour most must cost lost host post past last list fast cast east least slow flow glow "
    "flaw flaws flew show shown know tool fool pool cool user uses used model modes mode moves days says pays ways may "
    "week weak seek tokens taken spent spend send sent spending error errors terror mirror rate late date gate rates "
    "dates status statue state agents agent urgent event events even seven source course coarse sources courses "
    "resource kind find mind names games name game same title tile file while domain remain domains remains call calls "
    "cell cells hall disk risk desk dusk quota quote quotes load road lead loan leads loans rows row how low arrow "
    "table cable able chair hair store story stores stored phone prone web wed carrier barrier career origin organ "
    "border planner planned planning coder code coded colder tester test tested analyst analyse reviewer reviewed "
    "review small smell large lager medium order orders older other others amount mount mean means meant meaning total "
    "vital timeout support supper research search operations operation duration memory month months moth minute "
    "minutes".split()
)
