// What can be connected, and the exact lines that do it: {URL} is this server's address, {KEY} a key that may send.
// The names are those of each tool's own documentation, whose page is in `read`.

export const TOOLS = [
  {
    id: "opentelemetry", name: "OpenTelemetry", about: "Any program with an SDK, or a collector", ways: ["span", "log", "metric"],
    read: "https://opentelemetry.io/docs/languages/sdk-configuration/otlp-exporter/",
    blocks: [{ title: "Environment of the program", text: `export OTEL_EXPORTER_OTLP_ENDPOINT={URL}
export OTEL_EXPORTER_OTLP_HEADERS="x-api-key={KEY}"
export OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf
export OTEL_SERVICE_NAME=my-service` }, { title: "A collector's exporter", text: `exporters:
  otlphttp:
    endpoint: {URL}
    headers: {x-api-key: {KEY}}` }],
    notes: ["There is no gRPC intake: choose http/protobuf or http/json.", "The service name is what this page lists."],
  },
  {
    id: "claude-code", name: "Claude Code", about: "Metrics and log events, spans as a beta", ways: ["metric", "log", "span"],
    read: "https://code.claude.com/docs/en/monitoring-usage",
    blocks: [{ title: "Before you start claude", text: `export CLAUDE_CODE_ENABLE_TELEMETRY=1
export OTEL_METRICS_EXPORTER=otlp
export OTEL_LOGS_EXPORTER=otlp
export OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf
export OTEL_EXPORTER_OTLP_ENDPOINT={URL}
export OTEL_EXPORTER_OTLP_HEADERS="x-api-key={KEY}"` }, { title: "Spans too, a beta of theirs", text: `export CLAUDE_CODE_ENHANCED_TELEMETRY_BETA=1
export OTEL_TRACES_EXPORTER=otlp` }, { title: "Or for good, in ~/.claude/settings.json", text: `{
  "env": {
    "CLAUDE_CODE_ENABLE_TELEMETRY": "1",
    "OTEL_METRICS_EXPORTER": "otlp",
    "OTEL_LOGS_EXPORTER": "otlp",
    "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
    "OTEL_EXPORTER_OTLP_ENDPOINT": "{URL}",
    "OTEL_EXPORTER_OTLP_HEADERS": "x-api-key={KEY}"
  }
}` }],
    notes: ["Log events come within 5 seconds, metrics within a minute. Prompts are left out unless you ask for them.", "Money comes from its own counter claude_code.cost.usage, so its counted tokens are not estimated beside it."],
  },
  {
    id: "codex", name: "Codex CLI", about: "Log events, spans and metrics", ways: ["log", "span", "metric"],
    read: "https://developers.openai.com/codex/config-advanced",
    blocks: [{ title: "In ~/.codex/config.toml", text: `[otel]
log_user_prompt = false
exporter = { otlp-http = { endpoint = "{URL}/v1/logs", protocol = "binary", headers = { "x-api-key" = "{KEY}" } } }
trace_exporter = { otlp-http = { endpoint = "{URL}/v1/traces", protocol = "binary", headers = { "x-api-key" = "{KEY}" } } }
metrics_exporter = { otlp-http = { endpoint = "{URL}/v1/metrics", protocol = "binary", headers = { "x-api-key" = "{KEY}" } } }` }],
    notes: ["Each exporter names its full address: nothing is appended to it."],
  },
  {
    id: "gemini", name: "Gemini CLI", about: "Log events, metrics and spans", ways: ["log", "metric", "span"],
    read: "https://geminicli.com/docs/cli/telemetry",
    blocks: [{ title: "Before you start gemini", text: `export GEMINI_TELEMETRY_ENABLED=true
export GEMINI_TELEMETRY_TARGET=local
export GEMINI_TELEMETRY_OTLP_ENDPOINT={URL}
export GEMINI_TELEMETRY_OTLP_PROTOCOL=http
export GEMINI_TELEMETRY_LOG_PROMPTS=false
export OTEL_EXPORTER_OTLP_HEADERS="x-api-key={KEY}"` }, { title: "Or for good, in ~/.gemini/settings.json", text: `{
  "telemetry": {
    "enabled": true,
    "target": "local",
    "otlpEndpoint": "{URL}",
    "otlpProtocol": "http",
    "logPrompts": false
  }
}` }],
    notes: ["Its settings have no place for a key: with the file, too, set OTEL_EXPORTER_OTLP_HEADERS."],
  },
  {
    id: "copilot", name: "GitHub Copilot", about: "In VS Code and on the command line", ways: ["span", "metric", "log"],
    read: "https://code.visualstudio.com/docs/copilot/guides/monitoring-agents",
    blocks: [{ title: "Before you start copilot, or code", text: `export COPILOT_OTEL_ENABLED=true
export OTEL_EXPORTER_OTLP_ENDPOINT={URL}
export OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf
export OTEL_EXPORTER_OTLP_HEADERS="x-api-key={KEY}"` }, { title: "Or in the settings.json of VS Code", text: `{
  "github.copilot.chat.otel.enabled": true,
  "github.copilot.chat.otel.exporterType": "otlp-http",
  "github.copilot.chat.otel.otlpEndpoint": "{URL}"
}` }],
    notes: ["The key stays in OTEL_EXPORTER_OTLP_HEADERS: start VS Code from a terminal that has it."],
  },
  {
    id: "instrumented", name: "OpenLLMetry, OpenInference", about: "Programs that call models through a library", ways: ["span"],
    read: "https://www.traceloop.com/docs/openllmetry/configuration",
    blocks: [{ title: "OpenLLMetry: the environment", text: `export TRACELOOP_BASE_URL={URL}
export TRACELOOP_HEADERS="x-api-key={KEY}"` }, { title: "OpenLLMetry: at the start of the program", text: `from traceloop.sdk import Traceloop

Traceloop.init(app_name="my-app")` }, { title: "OpenInference: at the start of the program", text: `from openinference.instrumentation.openai import OpenAIInstrumentor
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

exporter = OTLPSpanExporter("{URL}/v1/traces", headers={"x-api-key": "{KEY}"})
provider = TracerProvider(resource=Resource({"service.name": "my-app"}))
provider.add_span_processor(BatchSpanProcessor(exporter))
OpenAIInstrumentor().instrument(tracer_provider=provider)` }],
    notes: ["There is an instrumentor for each library; that of OpenAI stands for them all."],
  },
  {
    id: "json", name: "JSON", about: "curl, a script, a cron job", ways: ["event"], read: "/docs/send-data",
    blocks: [{ title: "From a shell", text: `curl {URL}/api/ingest/events -H "X-API-Key: {KEY}" \\
  --json '{"source": "my-script", "kind": "flow", "name": "hello", "agent": "me", "duration_ms": 1200}'` }, { title: "From Python", text: `import json
from urllib.request import Request, urlopen

event = {"source": "my-script", "kind": "flow", "name": "hello", "agent": "me", "duration_ms": 1200}
headers = {"X-API-Key": "{KEY}", "Content-Type": "application/json"}
with urlopen(Request("{URL}/api/ingest/events", json.dumps(event).encode(), headers)) as reply:
    print(reply.read().decode())` }],
    notes: ["Lists, JSON lines, CSV and Arrow go to the same address.", "An event without a source gets the name of its key."],
  },
  {
    id: "transcripts", name: "Transcripts", about: "Sessions that are on disk already", ways: ["transcript"], read: "/docs/transcripts",
    blocks: [{ title: "Sessions of Claude Code, and those to come", text: "python app.py load claude-code --follow" },
      { title: "Sessions of Codex", text: "python app.py load codex --follow" }],
    notes: ["Run it in the folder of Plumbline, on the machine that has the sessions. Loading them again adds nothing."],
  },
]
