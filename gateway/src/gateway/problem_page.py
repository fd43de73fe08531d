"""The page that explains every problem, at the address that a problem's `type` leads to."""

import html
import json
from collections.abc import Mapping, Sequence

from gateway.documentation import AnsweredBy, KnownProblem

# A problem of more operations than this is one that any request can meet.
_MOST_NAMED = 12

STYLE = """:root { color-scheme: light dark; --ground: #faf7f4; --surface: #fff; --line: #ddd2ca; --text: #241a20;
  --quiet: #655861; --accent: #8f2d56; --soft: #f6e4ec; }
@media (prefers-color-scheme: dark) { :root { --ground: #171216; --surface: #211a1f; --line: #3d323a; --text: #f4edf1;
  --quiet: #bbaab4; --accent: #f08db4; --soft: #40202f; } }
* { box-sizing: border-box; }
html { scroll-padding-top: 1rem; }
body { font: 1rem/1.55 Inter, system-ui, sans-serif; margin: 0 auto; max-width: 60rem; padding: 2rem 1rem;
  background: var(--ground); color: var(--text); }
a { color: var(--accent); }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 3px; }
code, pre { font-family: ui-monospace, "SF Mono", Menlo, Consolas, monospace; font-size: 0.9em; }
pre { overflow-x: auto; padding: 1rem; border: 1px solid var(--line); border-radius: 10px; background: var(--surface); }
dl { display: grid; gap: 0.25rem; }
dt { display: flex; flex-wrap: wrap; align-items: baseline; gap: 0.25rem 0.75rem; margin-top: 1.25rem;
  padding: 0.2rem 0.5rem; border-radius: 8px; font-weight: 600; }
dt:target { background: var(--soft); }
dt .status { color: var(--accent); font-variant-numeric: tabular-nums; }
dt a { color: inherit; text-decoration: none; }
dt a:hover { text-decoration: underline; }
dt .title { color: var(--quiet); font-weight: 400; }
dd { margin: 0; padding: 0 0.5rem; }
dd.by, footer { color: var(--quiet); font-size: 0.875rem; }
footer { margin-top: 3rem; }
"""

_EXAMPLE = {
    "type": "/docs/problems#invalid-request",
    "title": "Invalid request",
    "status": 422,
    "detail": "Some of the input was refused; 'errors' says which and why. Correct it and send the request again.",
    "instance": "/v1/movies",
    "code": "invalid-request",
    "requestId": "0190a5a0-7b3c-7c3e-8f3a-5b1f0c9d2e11",
    "errors": [{"pointer": "genre", "message": "is not a parameter of this resource; did you mean 'genreIds'?"}],
}
_INTRODUCTION = f"""<h1>Problems</h1>
<p>Every error is answered as <code>application/problem+json</code> (RFC 9457), by the gateway and by each service
alike:</p>
<pre tabindex="0"><code>{html.escape(json.dumps(_EXAMPLE, indent=2), quote=False)}</code></pre>
<p>Act on <code>code</code>, which never changes its meaning; show <code>detail</code>, which says what to do next.
Where it can be put more precisely than below, it is. <code>errors</code> comes with 422 only: <code>pointer</code> is a
JSON pointer into the body, or the name of a parameter or header. Quote <code>requestId</code> when you ask for help.
<a href="/docs">The API</a> names the problems of each route.</p>"""


def _answered_by(operations: Sequence[AnsweredBy]) -> str:
    if not operations or len(operations) > _MOST_NAMED:
        return "Any request"
    return ", ".join(
        f'<a href="/docs#/{html.escape(found.tag)}/{html.escape(found.operation_id)}">{html.escape(found.name)}</a>'
        for found in operations
    )


def _entry(code: str, problem: KnownProblem) -> str:
    name = html.escape(code)
    example = problem.example
    return (
        f'<dt id="{name}"><span class="status">{example["status"]}</span> <a href="#{name}"><code>{name}</code></a> '
        f'<span class="title">{html.escape(example["title"])}</span></dt>\n'
        f"<dd>{html.escape(example['detail'])}</dd>\n"
        f'<dd class="by">{_answered_by(problem.operations)}</dd>'
    )


def problem_list(problems: Mapping[str, KnownProblem]) -> str:
    """The page's content."""
    entries = "\n".join(_entry(code, problem) for code, problem in problems.items())
    return f"{_INTRODUCTION}\n<dl>\n{entries}\n</dl>"
