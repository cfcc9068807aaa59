"""An MCP server that knows nothing of Assay; its second tool asks whoever called it for replies.

It is started by tools.py beside it.
"""

from mcp.server.mcpserver import Context, MCPServer
from mcp_types import SamplingMessage, TextContent

server = MCPServer("words")


@server.tool()
def count(text: str) -> str:
    """Count the words of a text, without asking any model."""
    return f"{len(text.split())} words"


@server.tool()
async def second_opinion(prompt: str, context: Context) -> str:
    """Ask the model a question, then ask it whether it is sure, and show both replies."""
    told = []
    for text in (prompt, f"{prompt} Are you sure?"):
        message = SamplingMessage(role="user", content=TextContent(type="text", text=text))
        told.append((await context.session.create_message([message], max_tokens=48)).content.text)
    return f"First: {told[0]}\nAgain: {told[1]}\n(One sample each.)"


if __name__ == "__main__":
    server.run()
