"""What gives each request or task of a framework a span: each module needs its framework alone, and memkit imports none."""
