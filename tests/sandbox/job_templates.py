"""The job templates of the Satellite double: their text, metadata and ERB, and their API.

ERB is rendered here, without ruby: `<%= to_json(input('NAME')) %>`, `<%%` and comments. Everything
else in a tag fails to render, although a real server knows much of it.
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

from .calls import (
    Call,
    check_names,
    leading_number,
    listed,
    not_found,
    select,
    server_error,
    unprocessable,
)
from .fields import TEMPLATE_FIELDS
from .records import User, taxonomy_entry
from .server import Answer, utc

if TYPE_CHECKING:
    from .satellite import Satellite

PROVIDERS = ("script", "SSH", "Ansible")
INPUT_TYPES = ("user", "fact", "variable")
VALUE_TYPES = ("plain", "search", "date", "resource")
BLANKS = "\0\t\n\v\f\r "  # what Ruby strips
_IMPORTED_WITH = ("template", "overwrite", "organization_id", "location_id")
_CHANGED_WITH = ("organization_ids", "location_ids", "effective_user_attributes")


class RenderError(Exception):
    """A template that does not render.

    The message is what the output of the job has after "error during rendering: ".
    """


# ERB

_OUTSIDE = re.compile(
    r"(.*?)(^[ \t]*<%-|<%-|<%%|<%=|<%#|<%|\Z)", re.DOTALL | re.MULTILINE
)
_INSIDE = re.compile(r"(.*?)(%%>|-%>|%>|\Z)", re.DOTALL)
_INPUT_AS_JSON = re.compile(
    r"""\s*to_json\s*\(\s*input\s*\(\s*(["'])([^"'\\#]*)\1\s*\)\s*\)\s*"""
)
_ESCAPES = {ord(letter): f"\\u{ord(letter):04x}" for letter in "<>&\u2028\u2029"}


def tags(text: str) -> Iterator[tuple[str, str]]:
    """How ERB with trim mode "-" reads a template.

    Yields the opening of each tag ("" is plain text) and its content. A tag that is not closed is
    plain text without its `<%` (measured: so a Python format "<%s" changes silently).
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
    parts = []
    for opening, content in tags(text):
        if not opening:
            parts.append(content)
        elif opening == "<%=":
            parts.append(_input_as_json(content, values, name))
        elif opening != "<%#":
            raise _syntax_error(name)
    return "".join(parts)


def _input_as_json(content: str, values: Mapping[str, Optional[str]], name: str) -> str:
    match = _INPUT_AS_JSON.fullmatch(content)
    if not match:
        raise _syntax_error(name)
    if match[2] not in values:
        raise RenderError("wrong number of arguments (given 1, expected 0)")  # measured
    return to_json(values[match[2]])


def _syntax_error(name: str) -> RenderError:
    return RenderError(
        "ERF22-6132 [Foreman::Renderer::Errors::SyntaxError]: Syntax error occurred while parsing "
        f"the template {name}, make sure you have all ERB tags properly closed and the Ruby syntax "
        "is valid."
    )


def to_json(value: Optional[str]) -> str:
    """JSON as ActiveSupport writes it: what is special in HTML and JavaScript is escaped."""
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
        """The values that it can have; empty: any."""
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
        default_factory=lambda: {
            "value": None,
            "current_user": False,
            "overridable": True,
        }
    )
    execution_timeout_interval: Optional[int] = None
    locked: bool = False
    id: int = 0
    created: float = field(default_factory=time.time)
    updated: float = field(default_factory=time.time)


def parse_metadata(text: str) -> dict[str, Any]:
    """What the first ERB comment says; nothing if it is missing or not valid YAML (measured).

    Letters on the line of `<%#` belong to no key (measured); YAML that is not a mapping is a 500.
    """
    comment = re.search(r"<%#[\t a-z0-9=:]*(.+?).-?%>", text, re.DOTALL)
    if not comment:
        return {}
    try:
        metadata = yaml.safe_load(comment[1])
    except yaml.YAMLError:
        return {}
    if not isinstance(metadata, dict):
        raise server_error()
    return metadata


def body_of(text: str) -> str:
    """A template without its metadata: a shebang after them becomes the first byte (measured)."""
    body = re.sub(r"<%#.+?.-?%>\n?", "", text, count=1, flags=re.DOTALL)
    return body.strip(BLANKS).replace("\r", "")


class JobTemplates:
    """All job templates of one Satellite, and how its API shows and changes them."""

    def __init__(self, satellite: "Satellite") -> None:
        self.by_id: dict[int, JobTemplate] = {}
        self._satellite = satellite
        self._ids, self._input_ids = count(171), count(41)

    # Who sees which

    def visible(self, user: User, key: int) -> Optional[JobTemplate]:
        """The template of that id, if the user sees it.

        Everybody but an administrator needs an organization and a location in common with it.
        """
        template = self.by_id.get(key)
        if template is None or user.admin:
            return template
        organizations = template.organizations & user.organizations
        locations = template.locations & user.locations
        return template if organizations and locations else None

    def _all(self, call: Call) -> list[JobTemplate]:
        """The visible templates of the call's organization and location, by name."""
        visible = []
        for template in self.by_id.values():
            if call.organization and call.organization not in template.organizations:
                continue
            if call.location and call.location not in template.locations:
                continue
            if self.visible(call.user, template.id):
                visible.append(template)
        return sorted(visible, key=lambda template: template.name)

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
        matching = select(call, rows, TEMPLATE_FIELDS, "name")
        page = self._satellite.page(call, len(rows))
        return listed(call, page, len(rows), len(matching), page.cut(matching))

    def show(self, call: Call) -> Answer:
        """GET /job_templates/:id."""
        return Answer(200, self._whole(self._find(call)))

    def import_text(self, call: Call) -> Answer:
        """POST /job_templates/import.

        Organizations and locations in the metadata are ignored (measured).
        """
        check_names(call.body or {}, _IMPORTED_WITH, "the key")
        text = call.given("template")
        if not isinstance(text, str):
            raise server_error()
        metadata = parse_metadata(text)
        template = self._imported_over(call, str(metadata.get("name") or ""))
        changed = replace(
            template,
            inputs=self._synced(template.inputs, metadata.get("template_inputs") or []),
            template=body_of(text),
            snippet=bool(metadata.get("snippet")),
            description=metadata.get("description"),
            updated=time.time(),
        )
        for key in ("job_category", "description_format", "provider_type"):
            if key in metadata:
                setattr(changed, key, str(metadata[key] or ""))
        self._save(call, changed)
        base = f"http://{call.request.headers.get('Host')}/job_templates"
        location = f"{base}/{changed.id}-{quote(changed.name)}"
        return Answer(201, _raw(changed), {"Location": location})

    def _imported_over(self, call: Call, name: str) -> JobTemplate:
        """The template that an import replaces, or a new one."""
        if call.given("overwrite") not in (None, False):
            for template in self._all(call):
                if template.name == name:
                    return template
        return JobTemplate(
            name,
            organizations={call.organization} if call.organization else set(),
            locations={call.location} if call.location else set(),
        )

    def change(self, call: Call) -> Answer:
        """PUT /job_templates/:id: the organizations, the locations and the effective user."""
        template = self._find(call)
        check_names(call.body or {}, ("job_template",), "the key")
        given = call.given("job_template") or {}
        check_names(given, _CHANGED_WITH, "the attribute of a job template")
        changed = replace(template, updated=time.time())
        if "organization_ids" in given:
            changed.organizations = {int(key) for key in given["organization_ids"]}
        if "location_ids" in given:
            changed.locations = {int(key) for key in given["location_ids"]}
        effective_user = given.get("effective_user_attributes") or {}
        check_names(
            effective_user,
            template.effective_user,
            "the attribute of an effective user",
        )
        changed.effective_user = {**template.effective_user, **effective_user}
        self._save(call, changed)
        return Answer(200, self._whole(changed))

    # How they are kept

    def _synced(self, known: list[TemplateInput], wanted: Any) -> list[TemplateInput]:
        """The inputs of metadata.

        One of a known name keeps its id and every attribute that is not given any more.
        """
        if not isinstance(wanted, list) or not all(
            isinstance(each, dict) for each in wanted
        ):
            raise server_error()
        by_name = {each.name: each for each in known}
        return [
            self._synced_input(by_name.get(given.get("name")), given)
            for given in wanted
        ]

    def _synced_input(
        self, old: Optional[TemplateInput], given: dict[str, Any]
    ) -> TemplateInput:
        attributes = {each.name for each in fields(TemplateInput)} - {"id"}
        for name in given:
            if name not in attributes:
                raise server_error(f"unknown attribute '{name}' for TemplateInput.")
        columns = {name: _column(name, value) for name, value in given.items()}
        if old:
            return replace(old, **columns)
        return TemplateInput(**{"name": "", "id": next(self._input_ids), **columns})

    def _save(self, call: Call, template: JobTemplate) -> None:
        """Keep a template, a new one under the next id; raises RefusedError with every fault."""
        errors = [*self._faults(template), *self._place_faults(call, template)]
        if errors:
            raise unprocessable(template.id or None, errors)
        template.id = template.id or next(self._ids)
        self.by_id[template.id] = template

    def _faults(self, template: JobTemplate) -> Iterator[tuple[str, str]]:
        if not template.name.strip():
            yield "name", "can't be blank"
        if self._is_taken(template):
            yield "name", "has already been taken"
        if not template.snippet and not template.job_category:
            yield "job_category", "can't be blank"
        if not template.provider_type:
            yield "provider_type", "can't be blank"
        if (
            template.provider_type not in PROVIDERS
        ):  # measured: the translation is missing there
            message = (
                "translation missing: en.activerecord.errors.models.job_template.attributes."
                "provider_type.uniq"
            )
            yield "provider_type", message
        for each in template.inputs:
            yield from _input_faults(each)

    def _is_taken(self, template: JobTemplate) -> bool:
        others = [each for each in self.by_id.values() if each.id != template.id]
        return template.name in [each.name for each in others]

    def _place_faults(
        self, call: Call, template: JobTemplate
    ) -> Iterator[tuple[str, str]]:
        """What everybody but an administrator must not do (measured)."""
        user = call.user
        if user.admin:
            return
        old = self.by_id.get(template.id)
        for noun, own in (
            ("organization", user.organizations),
            ("location", user.locations),
        ):
            wanted = getattr(template, f"{noun}s")
            if old and wanted == getattr(old, f"{noun}s"):
                continue
            if not wanted or not wanted <= own or not user.may(f"assign_{noun}s"):
                message = (
                    f"Invalid {noun}s selection, you must select at least one of yours and have "
                    f"'assign_{noun}s' permission."
                )
                yield f"{noun}_ids", message
        if old and not user.may("edit_job_templates"):
            message = (
                "You don't have permission edit_job_templates with attributes that you have "
                "specified or you don't have access to specified organizations or locations"
            )
            yield "base", message

    def _whole(self, template: JobTemplate) -> dict[str, Any]:
        locations = _places(template.locations, self._satellite.locations)
        organizations = _places(template.organizations, self._satellite.organizations)
        inputs = [
            {"id": each.id, "name": each.name, "input_type": each.input_type}
            for each in template.inputs
        ]
        return {
            "description": template.description,
            **_entry(template),
            "template": template.template,
            "locked": template.locked,
            "effective_user": template.effective_user,
            "locations": locations,
            "organizations": organizations,
            "template_inputs": inputs,
        }


def _places(keys: set[int], names: Mapping[int, str]) -> list[dict[str, Any]]:
    return [taxonomy_entry(key, names[key]) for key in sorted(keys)]


def _input_faults(given: TemplateInput) -> Iterator[tuple[str, str]]:
    not_listed = "is not included in the list"
    if not given.name:
        yield "template_inputs.name", "can't be blank"
    if given.input_type not in INPUT_TYPES:
        yield "template_inputs.input_type", not_listed
    if given.value_type not in VALUE_TYPES:
        yield "template_inputs.value_type", not_listed
    if given.default and given.choices() and given.default not in given.choices():
        yield "template_inputs.default", not_listed


def _column(name: str, value: Any) -> Any:
    """A value of YAML as a column of the database takes it: a default of 5 is the text "5"."""
    if name in ("required", "advanced", "hidden_value"):
        return bool(value)
    if value is None or isinstance(value, str):
        return value
    return str(value)


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
    """A template as an import answers it: its row in the database."""
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
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{whole}.{int(seconds % 1 * 1000):03d}Z"
