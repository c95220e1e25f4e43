"""Note what is to be done, find it, and complete it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

from ltmc_jobs.registry import Cache, Queue, Tier, tool
from ltmc_jobs.results.todos import AddedTodo, CompletedTodo, Priority, Todos

if TYPE_CHECKING:
    from ltmc_jobs.services import Services

State = Literal["all", "pending", "completed"]
PRIORITIES: tuple[Priority, ...] = ("low", "medium", "high")
STATES: dict[State, bool | None] = {"all": None, "pending": False, "completed": True}


def _named_priority(given: Any) -> Any:
    return given if isinstance(given, str) else PRIORITIES[int(given) - 1]


def _named_state(given: Any) -> Any:
    """The name of a state, which older clients gave as `completed`: true, false, or null for both."""
    return given if isinstance(given, str) else next(name for name, value in STATES.items() if value is given)


GivenPriority = Annotated[
    Priority,
    BeforeValidator(_named_priority),
    WithJsonSchema(
        {
            "anyOf": [{"type": "string", "enum": [*PRIORITIES]}, {"type": "integer", "minimum": 1, "maximum": 3}],
            "description": "low, medium or high; also 1, 2 or 3",
        }
    ),
]
GivenState = Annotated[
    State,
    BeforeValidator(_named_state),
    WithJsonSchema(
        {
            "anyOf": [{"type": "string", "enum": [*STATES]}, {"type": ["boolean", "null"]}],
            "description": "all, pending or completed; true means completed, false pending",
        }
    ),
]
Limit = Annotated[int, Field(ge=1, le=100, description="How many at most")]
Offset = Annotated[int, Field(ge=0, le=2**31, description="How many to pass over: a page's next_offset")]


@tool(queue=Queue.HIGH, tiers=(Tier.SQLITE,), changes=("todos",))
def add_todo(
    services: Services,
    title: Annotated[str, Field(min_length=1, max_length=1000, pattern=r"\S", description="What is to be done")],
    description: Annotated[str, Field(max_length=100_000, description="All that belongs to it")] = "",
    priority: GivenPriority = "medium",
) -> AddedTodo:
    """Note something to be done."""
    call = services.current
    todo = services.tiers.todos.add(
        project=call.project, title=title, description=description, priority=priority, job_id=call.id
    )
    return AddedTodo(message=f"todo {todo.id} is noted", todo_id=todo.id, todo=todo)


@tool(queue=Queue.HIGH, tiers=(Tier.SQLITE,), cache=Cache(topics=("todos",)), aliases={"completed": "status"})
def list_todos(services: Services, status: GivenState = "all", limit: Limit = 10, offset: Offset = 0) -> Todos:
    """What is to be done, what is done, or both; newest first."""
    found = services.tiers.todos.list(
        project=services.current.project, completed=STATES[status], limit=limit, offset=offset
    )
    return Todos(todos=found.items, **found.extent)


@tool(queue=Queue.HIGH, tiers=(Tier.SQLITE,), changes=("todos",), idempotent=True)
def complete_todo(
    services: Services,
    todo_id: Annotated[int, Field(ge=1, le=2**63 - 1, description="The todo's id")],
) -> CompletedTodo:
    """Complete a todo; once completed, the time of its completion stays."""
    call = services.current
    todo, already = services.tiers.todos.complete(todo_id, project=call.project, job_id=call.id)
    told = f"todo {todo.id} was completed before" if already else f"todo {todo.id} is completed"
    return CompletedTodo(message=told, todo_id=todo.id, already_completed=already, todo=todo)


@tool(queue=Queue.HIGH, tiers=(Tier.SQLITE,), cache=Cache(topics=("todos",)), aliases={"completed": "status"})
def search_todos(
    services: Services,
    query: Annotated[
        str, Field(min_length=1, max_length=8192, pattern=r"\S", description="Words, or a part of a text")
    ],
    limit: Limit = 10,
    status: GivenState = "all",
    offset: Offset = 0,
) -> Todos:
    """Find todos by their words, best first.

    First those that have the query as it stands (in any case) in their title, then those that have it in their
    description, then those that share any of its words, whatever the endings; a rare word counts for more than a
    frequent one, one in the title for more than one in the description; equals newest first. A word with % or _ in it
    must stand in the todo as it is.
    """
    found = services.tiers.todos.search(
        query, project=services.current.project, completed=STATES[status], limit=limit, offset=offset
    )
    return Todos(todos=[hit.todo for hit in found.items], **found.extent)
