"""The job templates of the Satellite in memory: their text, their metadata and ERB, and the API
that keeps them.

ERB is rendered here, without ruby: `<%= to_json(input('NAME')) %>`, `<%%` and comments; whatever
else stands in a tag fails to render, although a real server knows a good deal of it.
"""

import json
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from itertools import count
from typing import TYPE_CHECKING, Any, Optional
from urllib.parse import quote

import yaml

from .calls import Call, leading_number, listed, not_found, server_error, unprocessable
from .records import User, taxonomy_entry
from .search import (
    Field,
    Mark,
    compile_search,
    identifier_check,
    one,
    order_by,
    parse,
    text_check,
)
from .server import Answer, utc

if TYPE_CHECKING:
    from .satellite import Satellite

PROVIDERS = ("script", "SSH", "Ansible")
INPUT_TYPES = ("user", "fact", "variable")
VALUE_TYPES = ("plain", "search", "date", "resource")
BLANKS = "\0\t\n\v\f\r "  # what Ruby strips


class RenderError(Exception):
    """A template that does not render; the text is what the job's output says after "error during
    rendering: ".
    """


# ERB

_OUTSIDE = re.compile(r"(.*?)(^[ \t]*<%-|<%-|<%%|<%=|<%#|<%|\Z)", re.DOTALL | re.MULTILINE)
_INSIDE = re.compile(r"(.*?)(%%>|-%>|%>|\Z)", re.DOTALL)
_INPUT_AS_JSON = re.compile(r"""\s*to_json\s*\(\s*input\s*\(\s*(["'])([^"'\\#]*)\1\s*\)\s*\)\s*""")
_ESCAPES = {ord(letter): f"\\u{ord(letter):04x}" for letter in "<>&\u2028\u2029"}


def tags(text: str) -> Iterator[tuple[str, str]]:
    """ERB's reading of a template with trim mode "-": pairs of a tag's opening ("" is plain text)
    and its content.

    A tag that is not closed is plain text without its `<%` (measured: so a Python format "<%s"
    changes in silence).
    """
    position, opening, content = 0, "", ""
    while position < len(text):
        match = (_INSIDE if opening else _OUTSIDE).match(text, position)
        assert match
        position, mark = match.end(), match[2].lstrip(" \t")
        content += match[1]
        if not opening and mark == "<%%":
            content += "<%"
        elif not opening:
            yield "", content
            opening, content = mark, ""
        elif mark == "%%>":
            content += "%>"
        elif mark:
            if mark == "-%>" and text.startswith("\n", position):
                position += 1
            yield opening, content
            opening, content = "", ""
    yield "", content


def render(text: str, values: Mapping[str, Optional[str]], name: str = "") -> str:
    """The script that a template's text becomes with these inputs; raises RenderError.

    `values`: by name; None for one that was left out and has no default, which is `null` (read in
    the source of remote execution: default_input_values).
    """
    out = []
    for opening, content in tags(text):
        wanted = _INPUT_AS_JSON.fullmatch(content)
        if not opening:
            out.append(content)
        elif opening == "<%=" and wanted:
            if wanted[2] not in values:
                raise RenderError("wrong number of arguments (given 1, expected 0)")  # measured
            out.append(to_json(values[wanted[2]]))
        elif opening != "<%#":
            raise RenderError(
                "ERF22-6132 [Foreman::Renderer::Errors::SyntaxError]: Syntax error occurred while parsing the template "
                f"{name}, make sure you have all ERB tags properly closed and the Ruby syntax is valid."
            )
    return "".join(out)


def to_json(value: Optional[str]) -> str:
    """JSON as ActiveSupport writes it: what is special in HTML and to JavaScript escaped, all else
    as it is.
    """
    return json.dumps(value, ensure_ascii=False).translate(_ESCAPES)


# Templates


@dataclass
class TemplateInput:
    """One input of a template, its attributes in the order of an export."""

    name: str
    required: bool = False
    input_type: Optional[str] = None
    description: Optional[str] = None
    options: Optional[str] = None
    advanced: bool = False
    value_type: str = "plain"
    resource_type: Optional[str] = None
    default: Optional[str] = None
    hidden_value: bool = False
    fact_name: Optional[str] = None
    variable_name: Optional[str] = None
    id: int = 0

    def choices(self) -> list[str]:
        """The values that it may have; empty: any."""
        return [line.strip() for line in (self.options or "").splitlines()]


@dataclass
class JobTemplate:
    """One job template; `template` is its text without the metadata."""

    name: str = ""
    template: str = ""
    description: Optional[str] = None
    snippet: bool = False
    job_category: str = "Miscellaneous"
    description_format: Optional[str] = None
    provider_type: str = ""
    inputs: list[TemplateInput] = field(default_factory=list)
    organizations: set[int] = field(default_factory=set)
    locations: set[int] = field(default_factory=set)
    effective_user: dict[str, Any] = field(
        default_factory=lambda: {"value": None, "current_user": False, "overridable": True}
    )
    execution_timeout_interval: Optional[int] = None
    locked: bool = False
    id: int = 0
    created: float = field(default_factory=time.time)
    updated: float = field(default_factory=time.time)

    def described(self) -> str:
        """The format of a job's description."""
        listing = " ".join(f'{each.name}="%{{{each.name}}}"' for each in self.inputs)
        return self.description_format or "%{template_name}" + (
            f" with inputs {listing}" if listing else ""
        )


def parse_metadata(text: str) -> dict[str, Any]:
    """What the first ERB comment says; nothing where it is missing, or no YAML (measured).

    Letters on the line of `<%#` belong to no key (measured); YAML that is no mapping is a 500.
    """
    found = re.search(r"<%#[\t a-z0-9=:]*(.+?).-?%>", text, re.DOTALL)
    try:
        metadata = yaml.safe_load(found[1]) if found else {}
    except yaml.YAMLError:
        return {}
    if not isinstance(metadata, dict):
        raise server_error()
    return metadata


def body_of(text: str) -> str:
    """A template without its metadata: a shebang that follows them becomes the first byte
    (measured).
    """
    return (
        re.sub(r"<%#.+?.-?%>\n?", "", text, count=1, flags=re.DOTALL)
        .strip(BLANKS)
        .replace("\r", "")
    )


class JobTemplates:
    """All job templates of one Satellite, and how its API shows and changes them."""

    def __init__(self, satellite: "Satellite") -> None:
        self.by_id: dict[int, JobTemplate] = {}
        self._satellite = satellite
        self._ids, self._input_ids = count(171), count(41)

    # Who sees which

    def visible(self, user: User, key: int) -> Optional[JobTemplate]:
        """The template of that id; a login that is no administrator shares an organization and a
        location with it.
        """
        template = self.by_id.get(key)
        if template is None or user.admin:
            return template
        shared = template.organizations & user.organizations and template.locations & user.locations
        return template if shared else None

    def _all(self, call: Call) -> list[JobTemplate]:
        found = [
            template
            for template in self.by_id.values()
            if self.visible(call.user, template.id)
            and (not call.organization or call.organization in template.organizations)
            and (not call.location or call.location in template.locations)
        ]
        return sorted(found, key=lambda template: template.name)

    def _find(self, call: Call) -> JobTemplate:
        key = call.args["id"]
        for template in self._all(call):
            if template.name == key or template.id == leading_number(key):
                return template
        raise not_found(f"Resource job_template not found by id '{key}'")

    # The API

    def index(self, call: Call) -> Answer:
        """GET /job_templates."""
        rows = [_entry(template) for template in self._all(call)]
        test = compile_search(parse(call.first("search")), _FIELDS)
        key, downwards = order_by(call.first("order") or "name", _FIELDS)
        found = sorted(filter(test, rows) if test else rows, key=key, reverse=downwards)
        page = self._satellite.page(call, len(rows))
        return listed(call, page, len(rows), len(found), page.cut(found))

    def show(self, call: Call) -> Answer:
        """GET /job_templates/:id."""
        return Answer(200, self._whole(self._find(call)))

    def export(self, call: Call) -> Answer:
        """GET /job_templates/:id/export: the text with metadata that are written anew."""
        template = self._find(call)
        name = re.sub(r"\s+", "_", template.name.lower().replace("-", "")) + ".erb"
        return Answer(
            200,
            self.exported(template),
            {
                "Content-Type": "text/plain",
                "Content-Transfer-Encoding": "binary",
                "Content-Disposition": f"attachment; filename=\"{name}\"; filename*=UTF-8''{quote(name)}",
            },
        )

    def exported(self, template: JobTemplate) -> str:
        """The text as it could be imported again.  The effective user is not in it."""
        attributes = [each.name for each in fields(TemplateInput) if each.name != "id"]
        metadata = {
            "name": template.name,
            "description": template.description,
            "snippet": template.snippet,
            "template_inputs": [
                _filled({name: getattr(each, name) for name in attributes})
                for each in template.inputs
            ],
            "model": "JobTemplate",
            "job_category": template.job_category,
            "description_format": template.description_format,
            "provider_type": template.provider_type,
            "kind": "job_template",
            "organizations": [
                self._satellite.organizations[key] for key in sorted(template.organizations)
            ],
            "locations": [self._satellite.locations[key] for key in sorted(template.locations)],
        }
        text = yaml.safe_dump(_filled(metadata), sort_keys=False, allow_unicode=True, width=10**6)
        return f"<%#\n{text.strip()}\n%>\n\n{template.template}"

    def import_text(self, call: Call) -> Answer:
        """POST /job_templates/import.  Organizations and locations in the metadata are not heeded
        (measured).
        """
        text, overwrite = call.given("template"), call.given("overwrite") not in (None, False)
        if not isinstance(text, str):
            raise server_error()
        metadata = parse_metadata(text)
        name = str(metadata.get("name") or "")
        known = (
            next((each for each in self._all(call) if each.name == name), None)
            if overwrite
            else None
        )
        template = known or JobTemplate(
            name,
            organizations={call.organization} if call.organization else set(),
            locations={call.location} if call.location else set(),
        )
        values = {
            key: str(metadata[key] or "")
            for key in ("job_category", "description_format", "provider_type")
            if key in metadata
        }
        inputs = self._synced(template.inputs, metadata.get("template_inputs") or [])
        changed = replace(
            template,
            inputs=inputs,
            template=body_of(text),
            snippet=bool(metadata.get("snippet")),
            description=metadata.get("description"),
            updated=time.time(),
        )
        for key, value in values.items():
            setattr(changed, key, value)
        self._save(call, changed)
        place = f"http://{call.request.headers.get('Host')}/job_templates/{changed.id}-{quote(changed.name)}"
        return Answer(201, _raw(changed), {"Location": place})

    def change(self, call: Call) -> Answer:
        """PUT /job_templates/:id; `template` is taken as it is, metadata and all."""
        template, given = self._find(call), call.given("job_template") or {}
        plain = (
            "name",
            "description",
            "job_category",
            "description_format",
            "provider_type",
            "snippet",
            "locked",
            "execution_timeout_interval",
        )
        values: dict[str, Any] = {name: given[name] for name in plain if name in given}
        if "template" in given:
            values["template"] = str(given["template"]).replace("\r", "")
        for noun in ("organization", "location"):
            if f"{noun}_ids" in given:
                values[f"{noun}s"] = {int(key) for key in given[f"{noun}_ids"]}
        effective = given.get("effective_user_attributes") or {}
        values["effective_user"] = {
            name: effective.get(name, old) for name, old in template.effective_user.items()
        }
        changed = JobTemplate(**{**vars(template), **values, "updated": time.time()})
        self._save(call, changed)
        return Answer(200, self._whole(changed))

    def delete(self, call: Call) -> Answer:
        """DELETE /job_templates/:id."""
        template = self._find(call)
        del self.by_id[template.id]
        return Answer(200, _raw(template))

    # How they are kept

    def _synced(self, known: list[TemplateInput], wanted: Any) -> list[TemplateInput]:
        """Inputs of metadata: one of a known name keeps its id, and every attribute that is not
        given any more.
        """
        if not isinstance(wanted, list) or not all(isinstance(each, dict) for each in wanted):
            raise server_error()
        attributes = {each.name for each in fields(TemplateInput)} - {"id"}
        synced = []
        for given in wanted:
            for name in set(given) - attributes:
                raise server_error(f"unknown attribute '{name}' for TemplateInput.")
            old = next((each for each in known if each.name == given.get("name")), None)
            kept = vars(old) if old else {"name": "", "id": next(self._input_ids)}
            synced.append(
                TemplateInput(
                    **{**kept, **{name: _column(name, value) for name, value in given.items()}}
                )
            )
        return synced

    def _save(self, call: Call, template: JobTemplate) -> None:
        """Keep a template, under the next id where it is new; raises RefusedError with every reason
        not to.
        """
        errors = [*self._faults(template), *self._tenancy(call, template)]
        if errors:
            raise unprocessable(template.id or None, errors)
        template.id = template.id or next(self._ids)
        self.by_id[template.id] = template

    def _faults(self, template: JobTemplate) -> Iterator[tuple[str, str]]:
        if not template.name.strip():
            yield "name", "can't be blank"
        if any(
            each.name == template.name and each.id != template.id for each in self.by_id.values()
        ):
            yield "name", "has already been taken"
        if not template.snippet and not template.job_category:
            yield "job_category", "can't be blank"
        if not template.provider_type:
            yield "provider_type", "can't be blank"
        if template.provider_type not in PROVIDERS:  # measured: the translation is missing there
            yield (
                "provider_type",
                (
                    "translation missing: en.activerecord.errors.models.job_template.attributes."
                    "provider_type.uniq"
                ),
            )
        for each in template.inputs:
            if not each.name:
                yield "template_inputs.name", "can't be blank"
            if each.input_type not in INPUT_TYPES:
                yield "template_inputs.input_type", "is not included in the list"
            if each.value_type not in VALUE_TYPES:
                yield "template_inputs.value_type", "is not included in the list"
            if each.default and each.choices() and each.default not in each.choices():
                yield "template_inputs.default", "is not included in the list"

    def _tenancy(self, call: Call, template: JobTemplate) -> Iterator[tuple[str, str]]:
        """What a login that is no administrator may not do (measured)."""
        user, old = call.user, self.by_id.get(template.id)
        if user.admin:
            return
        for noun, own in (("organization", user.organizations), ("location", user.locations)):
            wanted = getattr(template, f"{noun}s")
            if old and wanted == getattr(old, f"{noun}s"):
                continue
            if not wanted or not wanted <= own or not user.may(f"assign_{noun}s"):
                yield (
                    f"{noun}_ids",
                    (
                        f"Invalid {noun}s selection, you must select at least one of yours and have "
                        f"'assign_{noun}s' permission."
                    ),
                )
        if old and not user.may("edit_job_templates"):
            yield (
                "base",
                (
                    "You don't have permission edit_job_templates with attributes that you have specified or "
                    "you don't have access to specified organizations or locations"
                ),
            )

    def _whole(self, template: JobTemplate) -> dict[str, Any]:
        places = {
            noun: [taxonomy_entry(key, names[key]) for key in sorted(getattr(template, noun))]
            for noun, names in (
                ("locations", self._satellite.locations),
                ("organizations", self._satellite.organizations),
            )
        }
        return {
            "description": template.description,
            **_entry(template),
            "template": template.template,
            "locked": template.locked,
            "effective_user": template.effective_user,
            **places,
            "template_inputs": [
                {"id": each.id, "name": each.name, "input_type": each.input_type}
                for each in template.inputs
            ],
        }


def _column(name: str, value: Any) -> Any:
    """A value of YAML as a column of the database takes it: a default of 5 is the text "5"."""
    flags = ("required", "advanced", "hidden_value")
    return (
        bool(value)
        if name in flags
        else value
        if value is None or isinstance(value, str)
        else str(value)
    )


def _filled(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value or value is False}


def _entry(template: JobTemplate) -> dict[str, Any]:
    """A template as lists have it."""
    return {
        "id": template.id,
        "name": template.name,
        "job_category": template.job_category,
        "provider_type": template.provider_type,
        "snippet": template.snippet,
        "description_format": template.description_format,
        "created_at": utc(template.created),
        "updated_at": utc(template.updated),
    }


def _raw(template: JobTemplate) -> dict[str, Any]:
    """A template as an import and a DELETE answer it: its row in the database."""
    names = (
        "id",
        "name",
        "template",
        "snippet",
        "locked",
        "job_category",
        "provider_type",
        "description_format",
        "execution_timeout_interval",
        "description",
    )
    return {
        **{name: getattr(template, name) for name in names},
        "created_at": _iso(template.created),
        "updated_at": _iso(template.updated),
        "default": False,
        **dict.fromkeys(("template_kind_id", "vendor", "os_family", "cloned_from_id")),
    }


def _iso(seconds: float) -> str:
    return (
        f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{int(seconds % 1 * 1000):03d}Z"
    )


_FIELDS = {
    "id": Field(one(lambda row: row["id"]), identifier_check),
    **{
        name: Field(lambda row, name: (row[name],), text_check, Mark.LIKE)
        for name in ("name", "job_category", "provider_type")
    },
}
