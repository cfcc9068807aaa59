"""The tools of an MCP server, as members of a kit.

assay tools check examples/mcp_tool/tools.py
assay sweep --kit chat --kit chat+second_opinion --plugin examples/mcp_tool/tools.py
"""

import sys

from assay.audits.bridges.mcp_tools import mcp_tools

count, second_opinion = mcp_tools([sys.executable, "server.py"])
