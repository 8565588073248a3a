"""What a request's JSON body says, or all that is wrong with it."""

from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.requests import Request

from interlock.errors import Refused

B = TypeVar("B", bound=BaseModel)


class Body(BaseModel):
    """A JSON body; unknown fields are mistakes here, not news from the future."""

    model_config = ConfigDict(frozen=True, extra="forbid")


async def body(request: Request, model: type[B]) -> B:
    """The request's JSON body; `Refused` (`invalid`) names all that is wrong."""
    content = await request.body()
    try:
        return model.model_validate_json(content or b"{}")
    except ValidationError as error:
        raise invalid(error) from None


def invalid(error: ValidationError) -> Refused:
    """All that is wrong, without the values, which may be secret."""
    violations = [
        {"at": "/" + "/".join(map(str, one["loc"])), "what": one["msg"].lower()}
        for one in error.errors(include_url=False, include_input=False)
    ]
    told = "; ".join(f"`{one['at']}`: {one['what']}" for one in violations)
    return Refused(
        f"the request is not valid: {told}", code="invalid", data={"violations": violations}
    )
