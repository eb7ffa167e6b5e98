"""A training script as people write them, without NeuroVis in mind; a test adds one line."""

import argparse

import torch
import torch.nn.functional as F
from lightning.pytorch import LightningDataModule, LightningModule, Trainer, seed_everything
from torch.utils.data import DataLoader, TensorDataset
from torchvision.models import resnet18

SIZE, CLASSES = 64, 5


class Data(LightningDataModule):
    def __init__(self, length: int = 48) -> None:
        super().__init__()
        images = torch.randn(length, 3, SIZE, SIZE)
        labels = torch.randint(CLASSES, (length,))
        # Something to learn: the class sets the brightness of one corner.
        images[:, :, :16, :16] += labels[:, None, None, None]
        self.train, self.val = TensorDataset(images, labels), TensorDataset(images[:8], labels[:8])

    def train_dataloader(self) -> DataLoader:
        return DataLoader(self.train, batch_size=8, shuffle=True)

    def val_dataloader(self) -> DataLoader:
        return DataLoader(self.val, batch_size=8)


class Classifier(LightningModule):
    def __init__(self, lr: float = 1e-3) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.backbone = resnet18(num_classes=CLASSES)

    def forward(self, x):
        return self.backbone(x)

    def training_step(self, batch, batch_idx):
        x, y = batch
        loss = F.cross_entropy(self(x), y)
        self.log("train_loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch, batch_idx):
        x, y = batch
        self.log("val_acc", (self(x).argmax(1) == y).float().mean())

    def configure_optimizers(self):
        optimizer = torch.optim.AdamW(self.parameters(), lr=self.hparams.lr)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=12)
        return [optimizer], [{"scheduler": schedule, "interval": "step"}]


def main(folder: str, callbacks: list) -> None:
    seed_everything(0)
    trainer = Trainer(
        max_epochs=2,
        accelerator="cpu",
        default_root_dir=folder,
        callbacks=callbacks,
        log_every_n_steps=2,
        enable_progress_bar=False,
    )
    trainer.fit(Classifier(), datamodule=Data())


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", default=".")
    main(parser.parse_args().folder, callbacks=[])
