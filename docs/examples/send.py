# ruff: noqa: E401, I001, T201
"""Sends a command: send.py HOST PORT SITE KEY_FILE KEY_ID VERB TARGET PARAMS."""

import json, sys, time, uuid

import jwt
from paho.mqtt.client import CallbackAPIVersion, Client, MQTTv5
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

host, port, site, key_file, key_id, verb, target, params = sys.argv[1:]
command_id, now = str(uuid.uuid4()), time.time()
claims = {"jti": command_id, "aud": site, "iat": now, "exp": now + 60, "verb": verb}
claims |= {"target": json.loads(target), "params": json.loads(params)}
with open(key_file) as key:
    command = jwt.encode(claims, key.read(), algorithm="EdDSA", headers={"kid": key_id})

mqtt = Client(CallbackAPIVersion.VERSION2, protocol=MQTTv5)
mqtt.on_message = lambda _client, _data, message: print(message.payload.decode(), flush=True)
mqtt.connect(host, int(port))
mqtt.subscribe(f"stoker/v1/{site}/node/+/cmd/{command_id}/state", qos=1)
expiry = Properties(PacketTypes.PUBLISH)
expiry.MessageExpiryInterval = 60
mqtt.publish(f"stoker/v1/{site}/cmd/{command_id}", command, qos=1, properties=expiry)
while time.time() < now + 60:
    mqtt.loop()
