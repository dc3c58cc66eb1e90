# SPDX-License-Identifier: BSD-2-Clause
"""What the servers of the lab serve: the web server's configuration and the big file.

Text and bytes only; must not know processes or namespaces.
"""

import hashlib
import os

from turnoutlab.topology import FILES_PORT, HTTP_PORT

BIG_FILE = "100MB"
BIG_FILE_SIZE = 100_000_000
_BLOCK = 1_000_000

# Workers stay root: the state directory and the sink's socket are root's.
# No limit is raised, as that needs a capability containers do not have.
NGINX = """\
user root;
worker_processes 1;
daemon off;
pid {directory}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 512; }}
http {{
	access_log {log}/nginx-access.log;
	default_type text/plain;
	sendfile on;
	client_max_body_size 0;
	client_body_temp_path {directory}/tmp-body;
	proxy_temp_path {directory}/tmp-proxy;
	fastcgi_temp_path {directory}/tmp-fastcgi;
	uwsgi_temp_path {directory}/tmp-uwsgi;
	scgi_temp_path {directory}/tmp-scgi;
	# Who answers, and whom it saw.
	server {{
		listen {http};
		listen [::]:{http};
		location / {{ return 200 "{name} $remote_addr\\n"; }}
		# For health checks: a file named sick makes it ill.
		location = /health {{
			if (-f {directory}/sick) {{ return 500; }}
			return 200 "{name} is well\\n";
		}}
	}}
	# The 100 MB file, and uploads: answered with the number of bytes received.
	server {{
		listen {files};
		listen [::]:{files};
		root {shared};
		location = /whoami {{ return 200 "{name} $remote_addr\\n"; }}
		location /upload {{
			proxy_pass http://unix:{directory}/sink.sock:;
			proxy_request_buffering off;
			proxy_set_header X-Server {name};
		}}
	}}
}}
"""


def nginx_configuration(name, directory, log, shared):
    return NGINX.format(name=name, directory=directory, log=log, shared=shared, http=HTTP_PORT, files=FILES_PORT)


def write_big_file(path):
    """Write the big file, the same in every lab, no two of its blocks alike; its SHA-256."""
    digest = hashlib.sha256()
    with open(path, "wb") as f:
        for number in range(BIG_FILE_SIZE // _BLOCK):
            block = hashlib.shake_128(b"turnout lab %d" % number).digest(_BLOCK)
            digest.update(block)
            f.write(block)
    os.chmod(path, 0o644)
    return digest.hexdigest()
