"""What a request says, or all that is wrong with it."""

from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.requests import Request

from interlock.errors import Refused

B = TypeVar("B", bound="Body")


class Body(BaseModel):
    """A JSON body; unknown fields are mistakes."""

    model_config = ConfigDict(frozen=True, extra="forbid")


async def body(request: Request, model: type[B]) -> B:
    """The request's JSON body; `Refused` (`invalid`) names all that is wrong."""
    try:
        return model.model_validate_json(await request.body() or b"{}")
    except ValidationError as error:
        violations = [
            {"at": "/" + "/".join(map(str, one["loc"])), "what": one["msg"].lower()}
            for one in error.errors(include_url=False, include_input=False)
        ]
        told = "; ".join(f"`{one['at']}`: {one['what']}" for one in violations)
        raise Refused(
            f"the request is not valid: {told}", code="invalid", data={"violations": violations}
        ) from None
