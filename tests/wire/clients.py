# SPDX-License-Identifier: Apache-2.0
"""Clients that nobody here wrote."""
import json

URL = "http://127.0.0.1:9696"


def client(lab, commands):
    """Commands through one run of the real openstack client. What they print as JSON, in order."""
    p = lab.node.popen("/usr/bin/openstack", stdin=-1, stdout=-1, stderr=-1, text=True,
                       env={"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "HOME": lab.dir, "OS_AUTH_TYPE": "none",
                            "OS_ENDPOINT": URL})
    out, err = p.communicate("\n".join(line.strip() for line in commands.strip().splitlines()) + "\n", timeout=60)
    assert p.returncode == 0 and err.strip() == "", err
    answers, at = [], 0
    while at < len(out):
        if out[at] in "{[":
            answer, at = json.JSONDecoder().raw_decode(out, at)
            answers.append(answer)
        else:
            assert out[at] in "\n ", f"not JSON: {out[at:]}"
            at += 1
    return answers
