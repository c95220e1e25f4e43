"""What MCP's conformance suite expects a server to ask of its client; loaded by LTMC_TOOLS in its tests alone.

Names, words and schemas are the suite's. Each of them is a job, which holds no worker while it waits.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from ltmc_jobs import prompt, tool
from ltmc_jobs.inquiry import form
from ltmc_jobs.results.content import Content, text

if TYPE_CHECKING:
    from ltmc_jobs.services import Services

NAME = {"type": "string"}
NAMED = form("What is your name?", name=NAME)
CONFIRMED = form("Please confirm", ok={"type": "boolean"})
ROOTS = {"method": "roots/list", "params": {}}


def sampled(words: str, tokens: int) -> dict[str, Any]:
    """A question to the client's model."""
    message = {"role": "user", "content": {"type": "text", "text": words}}
    return {"method": "sampling/createMessage", "params": {"messages": [message], "maxTokens": tokens}}


def said(*parts: object) -> Content:
    """A result of words alone."""
    return Content([text(" ".join(str(part) for part in parts))])


@tool(needs=("sampling",))
def test_missing_capability() -> Content:
    """Refuse who cannot sample."""
    return said("You can sample.")


@tool
def test_streaming_elicitation(services: Services) -> Content:
    """Ask for a name."""
    return said("Hello,", services.ask({"user_name": NAMED}, first=True)["user_name"])


@tool
def test_sampling(services: Services, prompt: str) -> Content:
    """Ask the client's model."""
    return said("LLM response:", services.ask({"sample": sampled(prompt, 100)}, first=True)["sample"])


@tool
def test_elicitation(services: Services, message: str) -> Content:
    """Ask the user."""
    username = {"type": "string", "description": "User's response"}
    email = {"type": "string", "description": "User's email address"}
    given = services.ask({"user": form(message, username=username, email=email)}, first=True)
    return said("User response:", json.dumps(given["user"]))


@tool
def test_elicitation_sep1034_defaults(services: Services) -> Content:
    """Ask with defaults of every kind."""
    question = form(
        "Please review and update the form fields with defaults",
        name={"type": "string", "default": "John Doe"},
        age={"type": "integer", "default": 30},
        score={"type": "number", "default": 95.5},
        status={"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
        verified={"type": "boolean", "default": True},
    )
    return said("Elicitation completed:", json.dumps(services.ask({"form": question}, first=True)["form"]))


@tool
def test_elicitation_sep1330_enums(services: Services) -> Content:
    """Ask for choices of every kind."""
    options = ["option1", "option2", "option3"]
    titled = [{"const": f"value{n}", "title": f"{word} Option"} for n, word in enumerate(("First", "Second"), 1)]
    names = ["Option One", "Option Two", "Option Three"]
    question = form(
        "Please choose",
        untitledSingle={"type": "string", "enum": options},
        titledSingle={"type": "string", "oneOf": titled},
        legacyEnum={"type": "string", "enum": ["opt1", "opt2", "opt3"], "enumNames": names},
        untitledMulti={"type": "array", "items": {"type": "string", "enum": options}},
        titledMulti={"type": "array", "items": {"anyOf": titled}},
    )
    return said("Elicitation completed:", json.dumps(services.ask({"form": question}, first=True)["form"]))


@tool
def test_input_required_result_elicitation(services: Services) -> Content:
    """Ask for a name."""
    given = services.ask({"user_name": NAMED}, first=True)["user_name"]
    return said(f"Hello, {given.get('content', {}).get('name')}!")


@tool
def test_input_required_result_sampling(services: Services) -> Content:
    """Ask the client's model."""
    question = sampled("What is the capital of France?", 100)
    return said(services.ask({"capital_question": question}, first=True)["capital_question"])


@tool
def test_input_required_result_list_roots(services: Services) -> Content:
    """Ask for the client's roots."""
    return said(services.ask({"client_roots": ROOTS}, first=True)["client_roots"])


@tool
def test_input_required_result_request_state(services: Services) -> Content:
    """Ask, and know the call again."""
    services.ask({"confirm": CONFIRMED}, first=True)
    return said("state-ok")


@tool
def test_input_required_result_multiple_inputs(services: Services) -> Content:
    """Ask three at once."""
    asked = {"user_name": NAMED, "greeting": sampled("Generate a greeting", 50), "client_roots": ROOTS}
    return said(services.ask(asked, first=True))


@tool
def test_input_required_result_multi_round(services: Services) -> Content:
    """Ask, and ask again."""
    services.ask({"step1": form("Step 1: What is your name?", name=NAME)}, first=True)
    services.ask({"step2": form("Step 2: What is your favorite color?", color=NAME)}, first=True)
    return said("Done.")


@tool
def test_input_required_result_tampered_state(services: Services) -> Content:
    """Ask, and refuse a state that is not the one given."""
    services.ask({"confirm": CONFIRMED}, first=True)
    return said("Done.")


@tool
def test_input_required_result_capabilities(services: Services) -> Content:
    """Ask only what the client can answer."""
    return said(services.ask({"name": NAMED, "greeting": sampled("Generate a greeting", 50)}, first=True))


@tool(grace_seconds=0)
def confirm_delete(services: Services, filename: str) -> Content:
    """Ask before something is deleted."""
    answer = services.ask({"confirm": form(f"Delete {filename}?", confirm={"type": "boolean"})})["confirm"]
    return said(filename, json.dumps(answer))


@tool(grace_seconds=0)
def multi_input(services: Services) -> Content:
    """Ask two things at once."""
    return said(services.ask({"first": NAMED, "second": form("And your colour?", color=NAME)}))


@tool(needs=("tasks",))
def test_tool_with_task(services: Services) -> Content:
    """Ask for a name, then take some time."""
    answer = services.ask({"user_name": NAMED}, first=True)["user_name"]
    time.sleep(0.2)
    return said(f"Hello, {answer.get('content', {}).get('name')}!")


@prompt()
def test_input_required_result_prompt(services: Services) -> str:
    """Ask for a context first."""
    question = form("What context should the prompt use?", context=NAME)
    return json.dumps(services.ask({"user_context": question}, first=True)["user_context"])
